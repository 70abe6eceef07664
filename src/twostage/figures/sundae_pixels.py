"""Class-conditional pixels as table and sheet. Draws stored numbers, computes none."""

# K classes, M samples of each, H W height and width, C channels

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from twostage.config.schema import FiguresConfig
from twostage.figures.strips import strip
from twostage.figures.style import save, style
from twostage.figures.tables import write_tables
from twostage.runtime.artifacts import read_array, read_json
from twostage.runtime.job import Job

Metrics = dict[str, Any]

SHARES = ("classified_as_asked", "real_classified_rightly")
OF_ALL = ("denoising_nats_per_token", "unigram_entropy_nats", "prior_steps", "train_seconds", "num_parameters",
          "learning_rate", "learning_rate_at_edge", "tokens_per_image", "num_codes", "steps", "seconds_per_image",
          "clock", "num_real_images")  # fmt: skip


@dataclass
class SundaePixelsConfig:
    """The look, and what the paper says: text and printed numbers, of which nothing is computed."""

    paper_says: str
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def sundae_pixels(config: SundaePixelsConfig, job: Job) -> None:
    """Writes NAME.{csv,md,pdf,png}, NAME the job's variant. Raises ValueError if there is more than one row."""
    (label,) = job.inputs
    metrics = read_json(job.upstream(label) / "metrics.json")
    write_tables(job, pd.DataFrame(_numbers(metrics)), (_printed(metrics), _caption(metrics, config)))
    _sheet(metrics, read_array(job.upstream(label) / "grid.npy"), config.figures, job)


def _lines(metrics: Metrics) -> dict[str, Metrics]:
    """All classes together, then each."""
    return {"all": {key: metrics[key] for key in ("num_images", *SHARES)}} | metrics["classes"]


def _numbers(metrics: Metrics) -> list[dict[str, Any]]:
    """Lines of the CSV; what is one number for all classes stands in their common line."""
    about = {key: metrics[key] for key in ("label", "scale", "data", "tokenizer")}
    lines = [about | {"class": name} | found for name, found in _lines(metrics).items()]
    lines[0] |= {key: metrics[key] for key in OF_ALL}
    return lines


def _printed(metrics: Metrics) -> list[dict[str, str]]:
    """Lines of the rendered table."""
    return [
        {
            "class": name,
            "samples": str(found["num_images"]),
            "classified as asked": f"{100 * found['classified_as_asked']:.0f} %",
            "real images classified rightly": f"{100 * found['real_classified_rightly']:.0f} %",
        }
        for name, found in _lines(metrics).items()
    ]


def _caption(metrics: Metrics, config: SundaePixelsConfig) -> str:
    start, end = metrics["temperature"]
    return (
        f"At scale {metrics['scale']}: {metrics['data']} through {metrics['tokenizer']}, {metrics['tokens_per_image']} "
        f"pixels of {metrics['num_codes']} grey levels, one prior of {metrics['prior_steps']} steps "
        f"({metrics['train_seconds']:.0f} s), unrolled denoising cross-entropy "
        f"{metrics['denoising_nats_per_token']:.3f} nats per pixel; at most {metrics['steps']} steps at temperature "
        f"{start:g} to {end:g}, {metrics['seconds_per_image']:.3g} s an image ({metrics['clock']}). Classified: by the "
        f"nearest class mean of the training images, beside {metrics['num_real_images']} held-out images; one tenth is "
        f"chance. Paper: {config.paper_says}; McKinney & Willcocks 2022, Fig. 10."
    )


def _sheet(metrics: Metrics, grid_KMHWC: np.ndarray, config: FiguresConfig, job: Job) -> None:
    """A column of samples for every class."""
    num_classes, num_shown, _, width = grid_KMHWC.shape[:4]
    with style(config, rows=1, columns=1, panel_ratio=0.95 * num_shown / num_classes + 0.15):
        figure, axes = plt.subplots()
        rows = [strip(image_KHWC) for image_KHWC in grid_KMHWC.swapaxes(0, 1)]
        axes.imshow(np.concatenate(rows), interpolation="nearest")
        places = (np.arange(num_classes) + 0.5) * (width + 2) - 0.5
        axes.set_xticks(places, list(metrics["classes"]), fontsize="x-small")
        axes.set_yticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(
            f"Class-conditional pixels at scale {metrics['scale']}, {metrics['data']}: the first samples of each class",
            fontsize="small",
        )
        save(figure, job.folder, job.variant, config.png_dpi)
