"""Every command of README and docs/ is run here, or stands in the table of those that are not, with the reason."""

from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.clone import ROOT

from .documented import commands

# Beside the tests of the other group, on the other core.
pytestmark = pytest.mark.xdist_group("documented")

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMOKE = "scale=smoke"
# As it stands there -> what is typed: the same words, at scale smoke and on folders and sizes that CI has.
RUN = {
    "snakemake --cores all results/table1.csv": None,
    "snakemake --cores all figures": None,
    "snakemake --cores all results/table1.csv --config scale=smoke": None,
    "snakemake -n results/table1.csv": None,
    "snakemake -n results/table1.csv --config scale=paper": None,
    "snakemake --cores all results/orderings.csv": None,
    "snakemake --cores all results/crossing.csv --config scale=night":
        "snakemake --cores all results/crossing.csv --config scale=smoke",
    "snakemake --cores all results/table1.csv --config scale=night":
        "snakemake --cores all results/table1.csv --config scale=smoke",
    "snakemake -n": None,
    "snakemake --unlock": None,
    "snakemake --cores all data": None,
    "dvc repro": None,
    "dvc metrics show": None,
    "dvc plots show": None,
    "dvc exp show --only-changed": None,
    "dvc remote add -d lab ssh://user@host/path/to/storage": None,
    "dvc remote add -d bucket s3://bucket/twostage": None,
    "dvc remote modify bucket endpointurl https://minio.example.org":
        "dvc remote add -d bucket s3://bucket/twostage && "
        "dvc remote modify bucket endpointurl https://minio.example.org",
    "make storage": None,
    "python -m twostage trace results/table1.csv IN transformer_steps": None,
    "python -m twostage data.prepare data=folder data.name=mine data.root=/path/to/images":
        f"python -m twostage data.prepare data=folder data.name=mine data.root=photographs {SMOKE}",
    "python -m twostage tokenizers.train data=cifar10": f"python -m twostage tokenizers.train data=cifar10 {SMOKE}",
    "snakemake --cores all results/discriminator.csv": None,
    "snakemake --cores all results/claims.csv": None,
    "twostage sample --model cifar10-laptop-gpt --out samples.png":
        "python -m twostage sample --model cifar10-laptop-gpt --out samples.png",
    "twostage claims": "python -m twostage claims",
    "twostage page": "python -m twostage page",
    "twostage models": "python -m twostage models",
    "twostage released": "python -m twostage released",
    "twostage plan scale=paper --estimate": f"python -m twostage plan edges {SMOKE} --estimate",
    "twostage plan table1 scale=night --estimate": f"python -m twostage plan table1 {SMOKE} --estimate",
    "twostage plan scale=paper --estimate --csv results/plan.csv":
        f"python -m twostage plan edges {SMOKE} --estimate --csv plan.csv",
    "snakemake --report report.html -- all": None,
    "torchrun --standalone --nproc-per-node=2 -m -- twostage priors.train priors=gpt scale=laptop "
    "priors.learning_rate=1e-3":
        "torchrun --standalone --nproc-per-node=2 -m -- twostage priors.train priors=gpt priors.learning_rate=1e-3 "
        f"{SMOKE}",
    "python benchmarks/cost.py artifacts/smoke artifacts/laptop": "python benchmarks/cost.py artifacts/smoke",
    "python -m twostage tokenizers.train data=folder data.name=mine":
        f"python -m twostage tokenizers.train data=folder data.name=mine {SMOKE}",
    "python -m twostage priors.train priors=pixelsnail data=cifar10 priors.learning_rate=1e-3":
        f"python -m twostage priors.train priors=pixelsnail data=cifar10 priors.learning_rate=1e-3 {SMOKE}",
    "python -m twostage sampling.generate priors=pixelsnail data=cifar10 priors.learning_rate=1e-3":
        f"python -m twostage sampling.generate priors=pixelsnail data=cifar10 priors.learning_rate=1e-3 {SMOKE} "
        "sampling.num_images=2",
    "python -m twostage sampling.generate": f"python -m twostage sampling.generate {SMOKE} sampling.num_images=2",
    "python -m twostage sampling.denoise priors=sundae": f"python -m twostage sampling.denoise priors=sundae {SMOKE}",
    "python -m twostage sampling.inpaint priors=sundae": f"python -m twostage sampling.inpaint priors=sundae {SMOKE}",
    "python -m twostage sampling.generate data=cifar10 'sampling.canvas_pixels=[1024,1024]' sampling.num_images=1":
        f"python -m twostage sampling.generate data=cifar10 'sampling.canvas_pixels=[64,64]' {SMOKE} "
        "sampling.num_images=1",
    "python -c \"from sklearn.datasets import load_sample_image as load; from PIL import Image; "
    "[Image.fromarray(load(f'{name}.jpg')).save(f'{name}.png') for name in ('flower', 'china')]\"": None,
    "OMP_NUM_THREADS=1 python -m twostage from_data data=cifar10 priors.condition=low_resolution_f1 "
    "priors.learning_rate=0.002 scale.priors.steps=900 sampling.condition_file=flower.png "
    "'sampling.canvas_pixels=[1024,1024]' sampling.num_images=1 sampling.batch_size=1 sampling.grid_images=1":
        "OMP_NUM_THREADS=1 python -m twostage from_data data=cifar10 priors.condition=low_resolution_f1 "
        "priors.learning_rate=0.002 scale.priors.steps=10 sampling.condition_file=flower.png "
        f"'sampling.canvas_pixels=[64,64]' sampling.num_images=1 sampling.batch_size=1 sampling.grid_images=1 {SMOKE}",
    "python -m twostage cards > docs/datasets.md": None,
    "twostage train data=cifar10 priors=pixelsnail": f"python -m twostage train data=cifar10 priors=pixelsnail {SMOKE}",
    "twostage train tokenizers=vqgan_f2": f"python -m twostage train tokenizers=vqgan_f2 {SMOKE}",
    "twostage sample data=cifar10 priors=pixelsnail":
        f"python -m twostage sample data=cifar10 priors=pixelsnail {SMOKE} sampling.num_images=2",
    "twostage plan docs/examples/own_ordering.yaml": f"python -m twostage plan docs/examples/own_ordering.yaml {SMOKE}",
    "snakemake --cores all results/own_ordering.csv --config study=docs/examples/own_ordering.yaml":
        f"snakemake --cores all results/own_ordering.csv --config study=docs/examples/own_ordering.yaml {SMOKE}",
    "twostage plan edges": f"python -m twostage plan edges {SMOKE}",
    "twostage redraw rejection figures.font_size=9":
        "python -m twostage redraw rejection figures.font_size=9 --out drawn",
    "twostage priors.train --help": "python -m twostage priors.train --help",
    "twostage --help": "python -m twostage --help",
    "twostage --info": "python -m twostage --info",
    "source <(twostage --completion bash)": "source <(python -m twostage --completion bash)",
    "twostage train -m priors=gpt,pixelsnail 'priors.loop.seed=range(2)'":
        f"python -m twostage train -m --dry priors=gpt,pixelsnail 'priors.loop.seed=range(2)' {SMOKE}",
}  # fmt: skip
INSTALLS = "installs the environment, in which this test runs"
PLACEHOLDER = "no command as it stands: a reader fills it in"
CARDS = "needs several GPUs; tests/unit/commands/test_torchrun.py runs two processes on the CPU"
CLUSTER = "needs Slurm; tests/slurm runs the profile on one"
TRACKERS = "the trackers are not in the lock; tests/unit/commands/test_tracking.py runs them where they are installed"
LEFT_OUT = {
    "make table1": INSTALLS,
    "make test": INSTALLS,
    "make install": INSTALLS,
    "snakemake --software-deployment-method apptainer": "needs Apptainer and the image",
    "make docs": INSTALLS + "; test_docs.py builds the site",
    "source .venv/bin/activate": INSTALLS,
    "pip install --editable '.[slurm]'": INSTALLS,
    "make slurm": CLUSTER,
    "make s3": INSTALLS + "; starts a server",
    "pip install --editable '.[s3]'": INSTALLS,
    "snakemake --cores all --default-storage-provider s3 --default-storage-prefix s3://BUCKET/twostage -- "
    "results/table1.csv": PLACEHOLDER + "; make s3 does",
    "snakemake --profile profiles/slurm -- results/table1.csv": CLUSTER,
    "snakemake --profile profiles/slurm --default-resources slurm_account=NAME slurm_partition=NAME "
    "--config scale=workstation -- results/table1.csv": CLUSTER,
    "torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 -m -- twostage "
    "priors.train ...": CARDS,
    "torchrun --standalone --nproc-per-node=8 -m -- twostage priors.train priors=gpt scale=paper data=imagenet "
    "data.root=... tokenizers=vqgan_f16_k16384 priors.condition=class priors.gpt.num_layers=48 priors.gpt.width=1536 "
    "priors.loop.sharding=fsdp priors.loop.precision=bfloat16 priors.loop.checkpoint_activations=true "
    "priors.learning_rate=5.4e-5": CARDS,
    "snakemake --config scale=paper -np results/table1.csv | grep torchrun":
        "finds lines once conf/scale/paper.yaml is edited; tests/unit/rules/test_line.py",
    "pytest --no-cov tests/unit/*/test_*_on_a_device.py tests/unit/test_second_device.py": "tests of this suite",
    "pytest --no-cov tests/unit/priors/test_prior_processes.py tests/unit/tokenizers/test_tokenizer_processes.py":
        "tests of this suite",
    "python benchmarks/reading.py --folder DIR": "a measurement of minutes",
    "python -m twostage": PLACEHOLDER,
    "snakemake --cores all": "in words of another command",
    "make verify": "its environment is not here; test_dvc.py runs what it runs",
    "make benchmarks": "half an hour of measurements",
    "make clean-priors": "deletes what other tests read",
    "dvc gc --workspace": "asks before it deletes",
    "git clone ...": PLACEHOLDER,
    "cd twostage": PLACEHOLDER,
    "snakemake --cores all results/<name>.csv": PLACEHOLDER + "; test_dry_runs.py does",
    "python -m twostage check data=imagenet data.root=...": PLACEHOLDER,
    "make install TORCH_INDEX=<address of the index>": PLACEHOLDER + "; tests/install does",
    "dvc commit --force": "test_dvc.py stores a part",
    "dvc push": "test_dvc.py stores a part",
    "make pull": "its environment is not here; test_dvc.py runs what it runs",
    "dvc exp run -S conf/scale/laptop.yaml:priors.steps=900": "hours at scale laptop; test_dvc.py runs one at smoke",
    "twostage train priors=gpt": "in words of another command",
    "twostage sample": "in words of another command",
    "twostage VERB": PLACEHOLDER,
    "twostage trace": "in words of another command",
    "twostage release NAME --prior DIR": PLACEHOLDER + "; test_release.py does",
    "twostage sample --model": "in words of another command",
    "python -m twostage fetch": "downloads every source",
    "python -m twostage fetch vqgan_imagenet_f16_1024": "downloads a gigabyte; test_released.py downloads small ones",
    "twostage released --data /data/imagenet/val": "needs ImageNet; test_released.py",
    "twostage released cin_transformer --data /data/imagenet/train --samples 50000": "needs ImageNet; test_released.py",
    "twostage released coco_transformer --data /data/coco/val --samples 4998 'data.maps=[segmentation]' "
    "data.num_labels=183 data.label_offset=1": "needs COCO-Stuff; test_released.py",
    "twostage sample --model NAME --out x.png": PLACEHOLDER + "; test_import_released.py does",
    "pytest -q -s --no-cov tests/unit/priors/test_table3.py": "a test of this suite",
    "snakemake --cores all results/photos.csv --config study=docs/examples/photos.yaml":
        "test_from_data.py makes the same study; test_outside.py plans the file",
    "pip install --group trackers": TRACKERS,
    "twostage train priors=pixelsnail --tracker tensorboard": TRACKERS,
    "snakemake --cores all results/table1.csv --config tracker=tensorboard": TRACKERS,
    "tensorboard --logdir build/tensorboard": TRACKERS,
    "twostage plan FILE.yaml scale=smoke": PLACEHOLDER,
    "twostage from_data": "test_from_data.py runs it",
    "twostage plan": "in words of another command",
    "python -m twostage from_data": "its example is run by test_from_data.py",
    "python -m twostage from_data data=folder data.name=mine data.root=photographs 'data.maps=[segmentation]' "
    "data.num_labels=6 data.tune_images=10 data.validation_images=10 priors.condition=segmentation_f4 "
    "sampling.num_images=1 sampling.condition_file=layout.png 'sampling.canvas_pixels=[512,512]'":
        "test_from_data.py runs it",
    "python -m twostage tokenizers.import_released --config C.yaml --checkpoint C.ckpt --out DIR":
        "needs a released checkpoint; tests/unit has tiny ones",
    "twostage sample --model DIR --out x.png sampling.num_images=16 sampling.temperature=0.9":
        PLACEHOLDER + "; test_sample.py and test_wheel.py do",
    "python benchmarks/tiled_decoding.py": "a measurement of minutes",
    "python -m twostage check data=imagenet data.root=/data/imagenet": "needs ImageNet; test_check.py",
    "python -m twostage data.prepare data=imagenet data.root=/data/imagenet": "needs ImageNet; see WALKS",
}  # fmt: skip
# Ways that the documents describe in words, each to its end.
WALKS = {
    "celeba_hq": [
        f"python -m twostage data.prepare data=celeba_hq data.root=photographs {SMOKE}",
        f"python -m twostage tokenizers.train data=celeba_hq {SMOKE}",
    ],
    "label maps": [
        "python -m twostage data.prepare data=folder data.name=labelled data.root=labelled 'data.maps=[segmentation]' "
        f"data.num_labels=4 {SMOKE}",
        f"python -m twostage tokenizers.train data=folder data.name=labelled tokenizers=segmentation_f4 {SMOKE}",
    ],
}


def documented():
    return list(dict.fromkeys(command for path in DOCUMENTS for command in commands(path.read_text())))


def test_every_command_of_the_documents_is_run_or_left_out_for_a_reason():
    assert set(documented()) - set(RUN) - set(LEFT_OUT) == set()


@pytest.fixture(scope="module")
def clone(copied):
    """A copy of what was reproduced, with 60 photographs in it."""
    whole = [Image.fromarray(picture) for picture in load_sample_images().images]
    for number in range(60):
        crop = whole[number % 2].crop((8 * number, 4 * number, 8 * number + 96, 4 * number + 96))
        for path in (f"photographs/{number:02d}.jpg", f"labelled/images/{number:02d}.png"):
            (copied.folder / path).parent.mkdir(parents=True, exist_ok=True)
            crop.save(copied.folder / path)
        path = copied.folder / f"labelled/segmentation/{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        crop.convert("L").point(lambda grey: grey // 64).save(path)
    return copied


def succeeds(clone, command):
    result = clone.run("bash", "-c", command)
    # A remote that is not there would be in the way of the next command.
    clone.ask("git", "checkout", "--", ".dvc")
    assert result.returncode == 0, f"{command}: {result.stdout[-2000:]}{result.stderr[-3000:]}"
    return result


@pytest.mark.parametrize("command", [command for command in documented() if command in RUN])
def test_a_documented_command_comes_to_its_end(clone, command):
    result = succeeds(clone, RUN[command] or command)
    if "twostage sampling." in command:
        # What a person looks for is the last thing said, and it is there.
        last = Path(result.stderr.strip().splitlines()[-1])
        assert last.suffix == ".png"
        assert (clone.folder / last).is_file()


@pytest.mark.parametrize("way", WALKS)
def test_a_way_that_the_documents_describe_comes_to_its_end(clone, way):
    for command in WALKS[way]:
        succeeds(clone, command)
