"""Experiments x scale -> the list of jobs. Pure: reads `conf/` through `compose`, writes nothing.

A job is one run of one verb. Rows of an experiment share every job they can: jobs are keyed by their folder, and two
different jobs for one folder are an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from twostage import configs
from twostage.artifacts import sha256_file, sha256_json
from twostage.errors import TwostageError
from twostage.fingerprint import fingerprint

Tree = dict[str, Any]


@dataclass
class Cell:
    """One row of an experiment in one column of data: stand-in or paper."""

    data: str = MISSING
    tokenizer: str = MISSING
    tokenizer_data: str | None = None  # the dataset that the tokenizer is trained on; null: the row's own
    condition: str | None = None  # tokenizer of the map that conditions the prior
    tune_on: str | None = None  # the row whose learning rates are used; null: a sweep of its own
    prior_sizes: dict[str, dict[str, int]] = field(default_factory=dict)  # architecture -> sizes unlike the scale's


BACKBONE_OF = {"vgg": "vgg16", "alex": "alexnet"}
# In the order in which they train: the transformer trains on to the time that PixelSNAIL took.
ARCHITECTURES = ("pixelsnail", "gpt")


@dataclass(frozen=True)
class Job:
    """One run of one verb: what it reads, what it must write, and its own slice of the config.

    `inputs` maps a name to the folder of an upstream variant, `out` is the job's own folder and `files` the names of
    the files that it must write there.
    """

    stage: str
    verb: str
    variant: str
    scale: str
    config: Tree
    inputs: dict[str, str]
    out: str
    files: list[str]

    @property
    def folder(self) -> Path:
        """The job's own artifact folder."""
        return Path(self.out)

    @property
    def sha12(self) -> str:
        """Twelve hex digits that change with anything the job was asked to do."""
        return sha256_json(asdict(self))[:12]

    @property
    def scratch(self) -> Path:
        """Undeclared folder for checkpoints: Snakemake deletes a failed job's outputs, but not this.

        Keyed by what was asked, by the code that answers and by the content of what it reads, so that no checkpoint
        of another model is taken up.
        """
        code = fingerprint(f"{self.stage}.{self.verb}")
        read = {
            f"{folder}/{name}": sha256_file(Path(folder) / name)
            for folder in self.inputs.values()
            for name in ("metadata.json", "metrics.json", "model.safetensors")
            if (Path(folder) / name).exists()
        }
        return Path("build/scratch") / self.stage / self.variant / f"{self.sha12}.{sha256_json([code, read])[:12]}"

    def upstream(self, name: str) -> Path:
        """Folder of the upstream variant that this job knows as `name`."""
        return Path(self.inputs[name])


SPLITS = ("train", "tune", "validation")

FILES = {
    "weights.convert": ["model.safetensors"],
    # One file a map lies beside these; metadata.json, written last, vouches for them.
    "data.prepare": [f"{split}_{kind}.npy" for split in SPLITS for kind in ("image", "label")]
    + ["splits.json", "metadata.json"],
    "tokenizers.train": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "latents.encode": [f"{split}_index.npy" for split in SPLITS] + ["metadata.json"],
    "priors.tune": ["sweep.csv", "metrics.json"],
    "priors.train": ["model.safetensors", "config.json", "curve.csv", "metrics.json"],
    "sampling.generate": ["samples.npy", "index.npy", "grid.png", "metrics.json"],
    "evaluation.reconstruct": ["metrics.json", "grid.npy"],
    "evaluation.compare": ["metrics.json"],
    "figures.tokenizers": ["tokenizers.csv", "reconstructions.pdf", "reconstructions.png"],
    "figures.table1": ["table1.csv", "table1.md", "table1.tex", "table1_curves.pdf", "table1_curves.png"],
}


def _job(name: str, variant: str, tree: Tree, config: Tree, inputs: Mapping[str, Job]) -> Job:
    stage, verb = name.split(".")
    scale = tree["scale"]["name"]
    return Job(
        stage=stage,
        verb=verb,
        variant=variant,
        scale=scale,
        config=config,
        inputs={key: job.out for key, job in inputs.items()},
        out=f"artifacts/{scale}/{stage}/{variant}",
        files=FILES[name],
    )


def weights_job(tree: Tree, name: str) -> Job:
    """Conversion of one metric network's weights: vgg16, alexnet or inception."""
    return _job("weights.convert", name, tree, {"name": name}, {})


def data_job(tree: Tree) -> Job:
    """Preparation of the dataset `tree["data"]`."""
    return _job("data.prepare", tree["data"]["name"], tree, tree["data"], {})


def tokenizer_job(tree: Tree) -> Job:
    """Training of `tree["tokenizers"]` on `tree["data"]`."""
    config = tree["tokenizers"]
    inputs = {"data": data_job(tree)}
    for network in (config["loss"]["perceptual"], config["loss"]["early_perceptual"]):
        if network in BACKBONE_OF:
            inputs[BACKBONE_OF[network]] = weights_job(tree, BACKBONE_OF[network])
    variant = f"{tree['data']['name']}.{config['name']}"
    return _job("tokenizers.train", variant, tree, config, inputs)


def latents_job(tree: Tree, tokenizer: Job) -> Job:
    """Encoding of one map of `tree["data"]` by a tokenizer, which may come from another dataset."""
    data = data_job(tree)
    config = tree["latents"] | {"map": tokenizer.config["map"]}
    trained_on, _, name = tokenizer.variant.partition(".")
    variant = f"{data.variant}.{name}" if trained_on == data.variant else f"{data.variant}.by_{tokenizer.variant}"
    return _job("latents.encode", variant, tree, config, {"data": data, "tokenizer": tokenizer})


def _prior_inputs(latents: Job, condition: Job | None) -> dict[str, Job]:
    return {"latents": latents} | ({"condition": condition} if condition else {})


def _prior_name(tree: Tree, latents: Job, condition: Job | None) -> str:
    given = f".given_{condition.variant.partition('.')[2]}" if condition else ""
    return f"{latents.variant}{given}.{tree['priors']['architecture']}"


def tune_job(tree: Tree, latents: Job, condition: Job | None) -> Job:
    """The learning-rate sweep of one architecture; it does not depend on the budget of the final run."""
    config = tree["priors"]
    steps = config["sweep"]["steps"]
    loop = config["loop"] | {"steps": steps, "evaluate_every": steps, "checkpoint_every": steps, "seed": 0}
    variant = f"{_prior_name(tree, latents, condition)}.tune"
    return _job("priors.tune", variant, tree, config | {"loop": loop}, _prior_inputs(latents, condition))


def prior_job(tree: Tree, latents: Job, condition: Job | None, more_inputs: Mapping[str, Job]) -> Job:
    """Training of one prior; `more_inputs` may hold `tune` and, to be matched in time, `pixelsnail`."""
    config = tree["priors"] | {"sweep": None}
    variant = f"{_prior_name(tree, latents, condition)}.seed{config['loop']['seed']}"
    return _job("priors.train", variant, tree, config, _prior_inputs(latents, condition) | dict(more_inputs))


def sampling_job(
    tree: Tree, prior: Job, tokenizer: Job, condition: Job | None = None, latents: Job | None = None, label: str = ""
) -> Job:
    """Images drawn from a prior, whose variant it shares; `label` tells several sets of one prior apart.

    `condition`: latents that condition a conditional prior. `latents`: those of the real images whose beginnings are
    completed, needed if `sampling.given` is not 0.
    """
    inputs = {"prior": prior, "tokenizer": tokenizer}
    inputs |= {"condition": condition} if condition else {}
    inputs |= {"latents": latents} if latents else {}
    variant = f"{prior.variant}.{label}" if label else prior.variant
    return _job("sampling.generate", variant, tree, tree["sampling"], inputs)


def reconstruct_job(tree: Tree, tokenizer: Job, data: Job) -> Job:
    """Reconstruction quality of an image tokenizer on the validation split."""
    inputs = {"data": data, "tokenizer": tokenizer, "vgg16": weights_job(tree, "vgg16")}
    return _job("evaluation.reconstruct", tokenizer.variant, tree, tree["evaluation"], inputs)


class Plan:
    """The jobs of one experiment at one scale, in an order in which they can run. `jobs` is keyed by their folders."""

    def __init__(
        self, experiment: str, scale: str, compose: Callable[[tuple[str, ...]], Tree] = configs.compose
    ) -> None:
        self.scale = scale
        self.jobs: dict[str, Job] = {}
        self._compose = compose
        self.tree = compose((f"scale={scale}", f"experiment={experiment}"))
        self.experiment = self.tree["experiment"]
        self._tunes: dict[tuple[str, str], Job] = {}
        match experiment:
            case "table1":
                self._table1()
            case other:
                raise TwostageError(f"experiment {other} has no plan; choose table1")

    def _add(self, job: Job) -> Job:
        known = self.jobs.setdefault(job.out, job)
        if known != job:
            raise TwostageError(f"two different jobs want {job.out}; give one of their variants another name")
        return known

    def _add_with_upstream(self, job: Job, *upstream: Job) -> Job:
        for other in upstream:
            self._add(other)
        return self._add(job)

    # ---- Esser et al. 2021, Table 1

    def _table1(self) -> None:
        rows = self.experiment["rows"]
        cells = {label: self._cell(label) for label in rows}
        # Rows that others borrow the learning rates of come first.
        order = sorted(rows, key=lambda label: cells[label].tune_on is not None)
        compared = {label: self._row(label, cells[label]) for label in order}
        config = self.tree["figures"]
        figure = {"figures": config, "rows": list(rows)}
        self._add(_job("figures.table1", "table1", self.tree, figure, {label: compared[label] for label in rows}))
        tokenizers = [job for job in self.jobs.values() if job.verb == "reconstruct"]
        inputs = {job.variant: job for job in tokenizers}
        self._add(_job("figures.tokenizers", "tokenizers", self.tree, {"figures": config}, inputs))

    def _cell(self, label: str) -> Cell:
        column = self.tree["scale"]["sources"]
        try:
            return configs.parse(Cell, self.experiment["rows"][label][column])
        except (KeyError, TwostageError) as error:
            raise TwostageError(f"experiment.rows.{label}.{column} of {self.experiment['name']}: {error}") from error

    def _row(self, label: str, cell: Cell) -> Job:
        latents = self._encoded(cell, cell.tokenizer, cell.tokenizer_data or cell.data)
        condition = self._encoded(cell, cell.condition, cell.data) if cell.condition else None
        tunes = {name: self._tune(label, cell, name, latents, condition) for name in ARCHITECTURES}
        runs: dict[str, Job] = {}
        for seed in self.experiment["seeds"]:
            for name in ARCHITECTURES:
                more = {"tune": tunes[name]}
                if name == "gpt":
                    more["pixelsnail"] = runs[f"pixelsnail.seed{seed}"]
                job = prior_job(self._tree_of(cell, priors=name, seed=seed), latents, condition, more)
                runs[f"{name}.seed{seed}"] = self._add(job)
        row = {
            "row": label,
            "data": cell.data,
            "condition": cell.condition,
            "tune_on": cell.tune_on or label,
            "seeds": self.experiment["seeds"],
            "paper_nll": self.experiment["rows"][label]["paper_nll"],
        }
        return self._add(_job("evaluation.compare", f"table1.{label}", self.tree, row, runs | {"latents": latents}))

    def _tune(self, label: str, cell: Cell, architecture: str, latents: Job, condition: Job | None) -> Job:
        if cell.tune_on is not None:
            if (cell.tune_on, architecture) not in self._tunes:
                raise TwostageError(f"row {label} says tune_on={cell.tune_on}, which has no sweep of its own")
            return self._tunes[cell.tune_on, architecture]
        job = tune_job(self._tree_of(cell, priors=architecture), latents, condition)
        self._tunes[label, architecture] = self._add(job)
        return job

    def _encoded(self, cell: Cell, tokenizer_name: str, tokenizer_data: str) -> Job:
        """Adds everything up to the latents of one map of the cell's dataset."""
        trained_on = self._tree_of(replace(cell, data=tokenizer_data), tokenizers=tokenizer_name)
        tokenizer = tokenizer_job(trained_on)
        for name in BACKBONE_OF.values():
            if name in tokenizer.inputs:
                self._add(weights_job(trained_on, name))
        self._add_with_upstream(tokenizer, data_job(trained_on))
        if tokenizer.config["map"] == "image":
            evaluation = reconstruct_job(trained_on, tokenizer, data_job(trained_on))
            self._add_with_upstream(evaluation, weights_job(trained_on, "vgg16"))
        tree = self._tree_of(cell)
        return self._add_with_upstream(latents_job(tree, tokenizer), data_job(tree))

    def _tree_of(self, cell: Cell, tokenizers: str | None = None, priors: str | None = None, seed: int = 0) -> Tree:
        overrides = [f"scale={self.scale}", f"data={cell.data}"]
        if tokenizers:
            overrides.append(f"tokenizers={tokenizers}")
        if priors:
            sizes = cell.prior_sizes.get(priors, {})
            overrides += [f"scale.priors.{priors}.{key}={value}" for key, value in sizes.items()]
            overrides += [f"priors={priors}", f"priors.loop.seed={seed}"]
        return self._compose(tuple(overrides))


def job_at_prompt(name: str, tree: Tree) -> Job:
    """The job of the verb `name` that a person asks for by overrides; unconditional priors only.

    Its variant ends in `by_hand_` and a hash of its config, so it never overwrites what the pipeline made; what is made
    of a user's own dataset (`data.name=mine`) is in no pipeline and keeps its plain name.
    Raises TwostageError if the verb only makes sense inside an experiment.
    """
    match name:
        case "data.prepare":
            job = data_job(tree)
        case "tokenizers.train":
            job = tokenizer_job(tree)
        case "latents.encode":
            job = latents_job(tree, tokenizer_job(tree))
        case "priors.tune":
            job = tune_job(tree, latents_job(tree, tokenizer_job(tree)), None)
        case "priors.train":
            job = prior_job(tree, latents_job(tree, tokenizer_job(tree)), None, {})
        case "sampling.generate":
            latents = latents_job(tree, tokenizer_job(tree))
            real = latents if tree["sampling"]["given"] else None
            job = sampling_job(tree, prior_job(tree, latents, None, {}), tokenizer_job(tree), latents=real)
        case "evaluation.reconstruct":
            job = reconstruct_job(tree, tokenizer_job(tree), data_job(tree))
        case other:
            raise TwostageError(f"{other} needs --config with a resolved job; snakemake writes it to build/configs/")
    if not (configs.CONF / "data" / f"{tree['data']['name']}.yaml").exists():
        return job
    variant = f"{job.variant}.by_hand_{job.sha12[:6]}"
    return replace(job, variant=variant, out=f"artifacts/{job.scale}/{job.stage}/{variant}")
