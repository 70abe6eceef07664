"""Verb `evaluation.pixels_vs_latents`: one transformer on pixels and on latents, for equal training time.

Source: Esser et al. 2021, Sec. 4.3.
"""

from dataclasses import dataclass

from twostage.errors import TwostageError
from twostage.evaluation.sampled import (
    Metrics,
    facts,
    metrics_of,
    on_one_clock,
    pace_of,
    require_alike,
    require_drawn_alike,
    shown,
)
from twostage.runtime.artifacts import read_csv, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import NLL

KINDS = ("pixels", "latents")
# Who is who in their pace: the prior on latents is matched in time to the one on pixels.
ROLES = {"pixels": "rival", "latents": "own"}


@dataclass
class PixelsVsLatentsConfig:
    """Which tokenizers stand for pixels and for latents."""

    data: str
    size: int  # side of the images, pixels
    tokenizers: dict[str, str]
    grid_images: int


def pixels_vs_latents(config: PixelsVsLatentsConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: the first samples of both, uint8 [2, grid_images, H, W, 3].

    Raises TwostageError if the two differ in what must be equal, or the latents' prior trained for longer.
    """
    pace = pace_of(job)
    rows = {kind: on_one_clock(_row(config, job, kind), pace["seconds_per_step"][ROLES[kind]]) for kind in KINDS}
    require_alike(rows, ("real_images", "learning_rate"))
    timed = {kind: metrics_of(job, f"{kind}.prior") for kind in KINDS} | {"pace": metrics_of(job, "pace")}
    require_alike(timed, ("threads", "clock"))
    require_drawn_alike(job, KINDS)
    pixels, latents = rows["pixels"], rows["latents"]
    if latents["train_seconds"] > pixels["train_seconds"]:
        raise TwostageError(
            f"{latents['steps']} steps on latents take longer than {pixels['steps']} on pixels, by their pace; budgets "
            f"must be equal, delete the folder {job.inputs['latents.prior']} and run again"
        )
    metrics = {
        "scale": job.scale,
        "data": config.data,
        "size": config.size,
        "rows": rows,
        "pace": pace,
        "curves": {kind: _curve(job, kind, rows[kind]) for kind in KINDS},
        "fid_improvement_percent": _percent(pixels["fid"], latents["fid"]),
        "kid_improvement_percent": _percent(pixels["kid_mean"], latents["kid_mean"]),
        "sampling_speedup": pixels["sampling_seconds_per_image"] / latents["sampling_seconds_per_image"],
    }
    write_array(job.folder / "grid.npy", shown(job, list(KINDS), config.grid_images))
    write_json(job.folder / "metrics.json", metrics)


def _row(config: PixelsVsLatentsConfig, job: Job, kind: str) -> Metrics:
    tokenizer = metrics_of(job, f"{kind}.tokenizer")
    return {
        "tokenizer": config.tokenizers[kind],
        **facts(job, kind),
        # Beside the budget, as in the paper: it is spent once for all priors.
        "tokenizer_train_seconds": tokenizer["train_seconds"],
    }


def _curve(job: Job, kind: str, row: Metrics) -> dict[str, list[float]]:
    """Validation NLL over training; as a share of the unigram entropy two vocabularies can be looked at together."""
    rows = read_csv(job.upstream(f"{kind}.prior") / "curve.csv")
    curve = {name: [float(point[name]) for point in rows] for name in ("step", NLL)}
    curve["train_seconds"] = [step * row["seconds_per_step"] for step in curve["step"]]
    return curve | {"share_of_unigram_entropy": [nll / row["unigram_entropy_nats"] for nll in curve[NLL]]}


def _percent(before: float, after: float) -> float | None:
    """How much lower `after` is, percent of `before`; None where that means nothing."""
    return 100 * (1 - after / before) if before > 0 else None
