"""Verb `evaluation.f_sweep`: reconstructions, likelihood, samples and speed over the factor f of the first stage.

Source: Esser et al. 2021, Sec. 4.3, Fig. 7 and 8.
"""

# F factors

from dataclasses import dataclass

from twostage import cli
from twostage.artifacts import write_array, write_json
from twostage.evaluation.sampled import Metrics, facts, metrics_of, require_alike, shown
from twostage.jobs import Job

SHARED = ("num_images", "real_images", "steps", "learning_rate", "temperature", "top_k", "likelihood_images", "clock")
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
    paper: dict[str, dict[str, float]]  # quantity -> factor -> number


def f_sweep(config: FSweepConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: the first samples of every factor, uint8 [F, grid_images, H, W, 3].

    Raises TwostageError if the factors differ in budget, learning rate or the way in which they were measured.
    """
    rows = {factor: _row(config, job, factor) for factor in config.tokenizers}
    require_alike(rows, SHARED)
    slowest = next(iter(rows.values()))["sampling_seconds_per_image"]
    for factor, row in rows.items():
        row["sampling_speedup"] = slowest / row["sampling_seconds_per_image"]
        row["paper"] = {name: numbers.get(factor) for name, numbers in config.paper.items()}
    metrics = {
        "scale": job.scale,
        "data": config.data,
        "size": config.size,
        "window": config.window,
        "factors": rows,
    }
    write_array(job.folder / "grid.npy", shown(job, list(rows), config.grid_images))
    write_json(job.folder / "metrics.json", metrics)


def _row(config: FSweepConfig, job: Job, factor: str) -> Metrics:
    reconstructed, likelihood = metrics_of(job, f"{factor}.reconstruct"), metrics_of(job, f"{factor}.likelihood")
    row = {"factor": int(factor.removeprefix("f")), "tokenizer": config.tokenizers[factor], **facts(job, factor)}
    row |= {name: reconstructed[key] for name, key in OF_RECONSTRUCTIONS.items()}
    row |= {name: likelihood[key] for name, key in OF_LIKELIHOODS.items()}
    return row | {"nll_nats_per_dimension": likelihood["nll_nats_per_image"] / (config.size**2 * 3)}


def main() -> None:
    """Entry point of `python -m twostage.evaluation.f_sweep`."""
    cli.run("evaluation.f_sweep", FSweepConfig, f_sweep)


if __name__ == "__main__":
    main()
