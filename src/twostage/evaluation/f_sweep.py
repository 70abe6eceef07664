"""Verb `evaluation.f_sweep`: reconstructions, likelihood, samples and speed over the factor f of the first stage.

Where the transformer is given a map, agreement of samples with it too. Source: Esser et al. 2021, Sec. 4.3, Fig. 7, 8
and 10.
"""

# F factors, N samples, G shown images, H height, W width

from dataclasses import dataclass, field

import numpy as np

from twostage.evaluation.agreement import Given, Judges, agreement
from twostage.evaluation.conditions import shown_map
from twostage.evaluation.sampled import Metrics, facts, metrics_of, require_alike, require_drawn_alike, shown
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, write_array, write_json
from twostage.runtime.job import Job
from twostage.weights.lpips import PerceptualDistance

SHARED = ("real_images", "steps", "learning_rate", "likelihood_images")
# Of reconstructions and of likelihoods, under the names of the summary.
OF_RECONSTRUCTIONS = {
    "lpips": "lpips_vgg",
    "lpips_std_over_images": "lpips_vgg_std_over_images",
    "psnr_decibels": "psnr_decibels",
    "codes_used": "codes_used",
    "perplexity": "perplexity",
}
OF_LIKELIHOODS = {
    "nll_nats_per_image": "nll_nats_per_image",
    "nll_nats_per_image_std_over_images": "nll_nats_per_image_std_over_images",
    "likelihood_images": "images",
}


@dataclass
class FSweepConfig:
    """The tokenizer of every factor ("f2"), the first being what speed is compared with; the paper's numbers."""

    data: str
    size: int  # side of the images, pixels
    window: int  # side of what the transformer sees at most, tokens
    tokenizers: dict[str, str]
    grid_images: int
    condition: str | None = None  # the map that the transformer is given; null: none, and what follows is not read
    measures: list[str] = field(default_factory=list)  # in what samples should agree with it
    num_labels: int | None = None  # of a map of label ids
    canny_sigma: float = 1.0


def f_sweep(config: FSweepConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: the first samples of every factor, uint8 [F, grid_images, H, W, 3].

    With a condition, grid.npy has two rows before those of the samples, the maps and the real images, and one after
    each, the reconstructions. Raises TwostageError if the factors differ in budget, learning rate or the way in which
    they were measured.
    """
    rows = {factor: _row(config, job, factor) for factor in config.tokenizers}
    require_alike(rows, SHARED)
    require_drawn_alike(job, rows)
    slowest = next(iter(rows.values()))["sampling_seconds_per_image"]
    for row in rows.values():
        row["sampling_speedup"] = slowest / row["sampling_seconds_per_image"]
    metrics = {
        "scale": job.scale,
        "data": config.data,
        "size": config.size,
        "window": config.window,
        "factors": rows,
    }
    grid = shown(job, list(rows), config.grid_images)
    if config.condition is not None:
        metrics |= {"condition": config.condition}
        for factor, row in rows.items():
            row |= _agreements(config, job, factor)
        grid = _conditional_grid(config, job, grid)
    write_array(job.folder / "grid.npy", grid)
    write_json(job.folder / "metrics.json", metrics)


def _row(config: FSweepConfig, job: Job, factor: str) -> Metrics:
    reconstructed, likelihood = metrics_of(job, f"{factor}.reconstruct"), metrics_of(job, f"{factor}.likelihood")
    row = {"factor": int(factor.removeprefix("f")), "tokenizer": config.tokenizers[factor], **facts(job, factor)}
    row |= {name: reconstructed[key] for name, key in OF_RECONSTRUCTIONS.items()}
    row |= {name: likelihood[key] for name, key in OF_LIKELIHOODS.items()}
    return row | {"nll_nats_per_dimension": likelihood["nll_nats_per_image"] / (config.size**2 * 3)}


def _given(config: FSweepConfig, job: Job, number: int) -> Given:
    """The first validation images, whose maps the samples were drawn under."""
    image_NHWC = read_array(job.upstream("data") / "validation_image.npy")[:number]
    map_NHWC = read_array(job.upstream("maps") / f"validation_{config.condition}.npy")[:number]
    # No measure of maps looks at classes.
    return Given(image_NHWC, np.zeros(len(image_NHWC), np.int64), map_NHWC)


def _agreements(config: FSweepConfig, job: Job, factor: str) -> Metrics:
    """Means over samples of how they agree with their own condition and, by chance, with the next image's."""
    image_NHWC = np.asarray(read_array(job.upstream(f"{factor}.sampling") / "samples.npy"))
    own = _given(config, job, len(image_NHWC))
    assert own.map_NHWC is not None
    others = Given(np.roll(own.image_NHWC, -1, 0), own.label_N, np.roll(own.map_NHWC, -1, 0))
    lpips = PerceptualDistance.load(job.upstream("vgg16")).to(training.device())
    judges = Judges(lpips, None, config.canny_sigma)

    def means(given: Given) -> Metrics:
        names = [*config.measures, "lpips_to_truth", "psnr_to_truth_decibels"]
        return {name: float(agreement(name, image_NHWC, given, judges).mean()) for name in names}

    return {"agreement": means(own), "agreement_by_chance": means(others)}


def _conditional_grid(config: FSweepConfig, job: Job, sample_FGHW3: np.ndarray) -> np.ndarray:
    """uint8 [2 + 2 F, G, H, W, 3]: maps, real images, then samples and reconstructions of every factor."""
    given = _given(config, job, sample_FGHW3.shape[1])
    assert given.map_NHWC is not None
    rows = [shown_map(given.map_NHWC, config.size, config.num_labels), given.image_NHWC]
    for factor, sample_GHW3 in zip(config.tokenizers, sample_FGHW3, strict=True):
        reconstructed = read_array(job.upstream(f"{factor}.reconstruct") / "grid.npy")[1]
        rows += [sample_GHW3, reconstructed[: len(sample_GHW3)]]
    return np.stack(rows)
