"""Verb `evaluation.conditional`: samples of one task beside their conditions, and beside an unconditional model's.

Serves every task: the experiment says what agreement is measured. Source: Esser et al. 2021, Sec. 4.2.
"""

# N samples, K conditions, P samples of a condition, S seeds, G rows of the grid, H height, W width

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation import classifier
from twostage.evaluation.agreement import Given, Judges, agreement, diversity, likeness
from twostage.evaluation.conditions import shown_map
from twostage.evaluation.reconstruct import reconstructed
from twostage.evaluation.sampled import Metrics, metrics_of, require_alike
from twostage.evaluation.statistics import Summary
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import BOUND, DENOISING, NLL
from twostage.weights.lpips import PerceptualDistance

MODELS = ("conditional", "unconditional")
OF_PRIOR = ("steps", "num_parameters", "learning_rate", "learning_rate_at_edge", "architecture")
OF_SAMPLING = ("temperature", "top_k", "top_p", "per_condition", "num_images", "given_tokens_per_image")
# A condition may cost parameters, and a completion is given tokens: all else the models must have in common.
OWN = ("num_parameters", "given_tokens_per_image")
# What a prior is scored by, and its name here.
SCORES = {NLL: "nll_nats_per_token", DENOISING: "denoising_nats_per_token", BOUND: "bound_nats_per_token"}
OF_SAMPLES = ("fid", "kid_mean")


@dataclass
class ConditionalConfig:
    """One task: what the samples are given, and in what they should agree with it."""

    name: str
    task: str
    data: str
    condition: str | None  # class, or the map's name; null: the beginning of the image
    seeds: list[int]
    measures: list[str] = field(default_factory=list)
    num_labels: int | None = None
    canny_sigma: float = 1.0
    grid_images: int = 8
    batch_size: int = 100
    paper_says: str = ""


def conditional(config: ConditionalConfig, job: Job) -> None:
    """Writes metrics.json, agreement of both models' samples, of reconstructions and of real images, and grid.npy.

    grid.npy: uint8 [G, 2 + P, H, W, 3], in every row the condition, the real image and the samples of the condition.
    Raises TwostageError if the runs of one model differ in more than their seed, or a sample has no condition.
    """
    per_condition = int(metrics_of(job, f"conditional.seed{config.seeds[0]}.sampling")["per_condition"])
    samples = {model: _samples(job, config, model) for model in MODELS}
    num_samples = len(samples["conditional"][0])
    given = _given(config, job, num_samples, per_condition)
    judges = _judges(config, job)
    measured = {
        model: [_measured(config, images, given, judges, per_condition) for images in samples[model]]
        for model in MODELS
    }
    once = _given(config, job, num_samples // per_condition, 1)
    rows: dict[str, Any] = {model: _over_seeds(found) | _distribution(job, model) for model, found in measured.items()}
    through_codes = reconstructed(job.upstream("tokenizer"), once.image_NHWC, config.batch_size)
    rows["reconstruction"] = _means(_measured(config, through_codes, once, judges, 1))
    rows["real"] = _means(_agreements(config, once.image_NHWC, once, judges))
    metrics = {
        "conditional_task": config.name,
        "task": config.task,
        "scale": job.scale,
        "data": config.data,
        "size": int(given.image_NHWC.shape[1]),
        "condition": config.condition,
        "num_conditions": num_samples // per_condition,
        "seeds": config.seeds,
        "paper_says": config.paper_says,
        **_common(job, config),
        "rows": rows,
        "real_images": metrics_of(job, "conditional.samples")["protocol"]["real"]["images"],
        "classifier": metrics_of(job, "classifier") if "classifier" in job.inputs else None,
        "names": _names(config, job, once),
    }
    grid = _grid(config, samples["conditional"][0], once, per_condition)
    write_array(job.folder / "grid.npy", grid)
    write_json(job.folder / "metrics.json", metrics)


def _samples(job: Job, config: ConditionalConfig, model: str) -> list[np.ndarray]:
    return [read_array(job.upstream(f"{model}.seed{seed}.sampling") / "samples.npy") for seed in config.seeds]


def _given(config: ConditionalConfig, job: Job, num_samples: int, per_condition: int) -> Given:
    """Real images, labels and maps of the validation images whose conditions the samples had."""
    place_N = np.arange(num_samples) // per_condition
    data = job.upstream("data")
    image, label = (read_array(data / f"validation_{name}.npy") for name in ("image", "label"))
    if len(image) <= place_N[-1]:
        raise TwostageError(f"{config.name}: {num_samples} samples for {len(image)} validation images; sample fewer")
    maps = read_array(job.upstream("maps") / f"validation_{config.condition}.npy") if "maps" in job.inputs else None
    return Given(image[place_N], label[place_N], None if maps is None else maps[place_N])


def _judges(config: ConditionalConfig, job: Job) -> Judges:
    judge = classifier.load(job.upstream("classifier")) if "classifier" in job.inputs else None
    lpips = PerceptualDistance.load(job.upstream("vgg16")).to(training.device())
    return Judges(lpips, judge, config.canny_sigma)


def _agreements(config: ConditionalConfig, images: np.ndarray, given: Given, judges: Judges) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for kind in config.measures:
        found |= agreement(kind, np.asarray(images), given, judges)
    return found


def _measured(
    config: ConditionalConfig, images: np.ndarray, given: Given, judges: Judges, per_condition: int
) -> dict[str, np.ndarray]:
    found = _agreements(config, images, given, judges) | likeness(images, given, judges)
    return found | diversity(images, per_condition, judges)


def _means(found: dict[str, np.ndarray]) -> Metrics:
    return {name: {"mean": float(values_N.mean())} for name, values_N in found.items()}


def _over_seeds(found_S: list[dict[str, np.ndarray]]) -> Metrics:
    """Of each measure: mean over images per seed, mean and spread over seeds, and spread over images of one seed."""
    rows: Metrics = {}
    for name in found_S[0]:
        per_seed = [float(found[name].mean()) for found in found_S]
        over_images = float(found_S[0][name].std(ddof=1))
        rows[name] = asdict(Summary.of(per_seed)) | {"per_seed": per_seed, "std_over_images": over_images}
    return rows


def _distribution(job: Job, model: str) -> Metrics:
    """FID and KID of the first seed's samples."""
    found = metrics_of(job, f"{model}.samples")
    return {name: {"mean": found[name]} for name in OF_SAMPLES}


def _common(job: Job, config: ConditionalConfig) -> Metrics:
    """Budget, sampling and scores of both models. Raises TwostageError if seeds of one model had unlike ones."""
    runs = {model: [metrics_of(job, f"{model}.seed{seed}.prior") for seed in config.seeds] for model in MODELS}
    found: Metrics = {}
    for model in MODELS:
        drawn = [metrics_of(job, f"{model}.seed{seed}.sampling") for seed in config.seeds]
        expected, *others = (_choices(run, draw) for run, draw in zip(runs[model], drawn, strict=True))
        for other in others:
            for key, value in other.items():
                if value != expected[key]:
                    raise TwostageError(
                        f"{config.name}: of the {model} runs one has {key} {value}, another {expected[key]}; delete "
                        "its folder and run again"
                    )
        found[model] = expected
    require_alike(found, tuple(key for key in found["conditional"] if key not in OWN))
    score = next(name for name in SCORES if name in runs["conditional"][0])
    scored = {model: [run[score] for run in runs[model]] for model in MODELS}
    per_model = {model: asdict(Summary.of(values)) | {"per_seed": values} for model, values in scored.items()}
    return {SCORES[score]: per_model} | found


def _choices(prior: Metrics, drawn: Metrics) -> Metrics:
    """How one run was trained and drawn from; of denoisers of whole grids, in how many steps."""
    found = {key: prior[key] for key in OF_PRIOR} | {key: drawn[key] for key in OF_SAMPLING}
    match prior["architecture"]:
        case "sundae":
            return found | {"chain_steps": drawn["steps"], "proportion": drawn["proportion"]}
        case "absorbing":
            return found | {"unmasking_steps": drawn["steps"]}
        case _:
            return found


def _names(config: ConditionalConfig, job: Job, once: Given) -> list[str]:
    """The class of every row of the grid; empty strings where there are no classes."""
    classes = read_json(job.upstream("data") / "metadata.json")["classes"]
    return [classes[label] if classes else "" for label in once.label_N[: config.grid_images]]


def _grid(config: ConditionalConfig, samples: np.ndarray, once: Given, per_condition: int) -> np.ndarray:
    rows = min(config.grid_images, len(once.image_NHWC))
    height = once.image_NHWC.shape[1]
    drawn = samples[: rows * per_condition].reshape(rows, per_condition, *samples.shape[1:])
    if once.map_NHWC is not None:
        condition = shown_map(once.map_NHWC[:rows], height, config.num_labels)
    else:
        condition = once.image_NHWC[:rows].copy()
        # Classes and coordinates have no picture; the figure writes the class's name. Of a beginning, the rest is grey.
        condition[:, height // 2 if config.condition is None else 0 :] = 208
    return np.concatenate([condition[:, None], once.image_NHWC[:rows, None], drawn], axis=1)
