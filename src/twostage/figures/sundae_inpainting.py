"""Inpainted images as table and sheet. Draws stored numbers, computes none."""

# K masks times priors, N images, R results of each, H W height and width, C channels

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

DISTANCES = (
    "redrawn_to_original", "redrawn_between_results", "redrawn_other_image", "kept_to_original", "kept_tokenizer_alone",
)  # fmt: skip
COLUMNS = (
    "prior_steps", "prior_train_seconds", *DISTANCES, "masked_share_of_pixels", "rule", "tokens_per_image",
    "given_tokens_per_image", "steps", "results_per_image", "seconds_per_image", "clock",
)  # fmt: skip


@dataclass
class SundaeInpaintingConfig:
    """The look, and what the paper says: text and printed numbers, of which nothing is computed."""

    paper_says: str
    figures: FiguresConfig = field(default_factory=FiguresConfig)


def sundae_inpainting(config: SundaeInpaintingConfig, job: Job) -> None:
    """Writes NAME.{csv,md,pdf,png}, NAME the job's variant. Raises ValueError if there is more than one row."""
    (label,) = job.inputs
    metrics = read_json(job.upstream(label) / "metrics.json")
    write_tables(job, pd.DataFrame(_numbers(metrics)), (_printed(metrics), _caption(metrics, config)))
    _sheet(metrics, read_array(job.upstream(label) / "grid.npy"), config.figures, job)


def _numbers(metrics: Metrics) -> list[dict[str, Any]]:
    about = {"row": metrics["label"]} | {key: metrics[key] for key in ("scale", "data", "num_images")}
    return [
        about
        | {"mask": found["mask"], "prior": found["prior"]}
        | dict(zip(("temperature_start", "temperature_end"), _temperatures(found), strict=True))
        | {key: found[key] for key in COLUMNS}
        for found in metrics["drawn"]
    ]


def _temperatures(found: Metrics) -> tuple[float, float]:
    """Of the first and the last step. A prior that draws token by token has one."""
    start, end = np.broadcast_to(found["temperature"], 2)
    return float(start), float(end)


def _printed(metrics: Metrics) -> list[dict[str, str]]:
    """Lines of the rendered table."""
    return [
        {
            "mask": found["mask"],
            "prior": found["prior"],
            "codes drawn anew": f"{found['tokens_per_image'] - found['given_tokens_per_image']} of "
            f"{found['tokens_per_image']}",
            "to the original": f"{found['redrawn_to_original']:.1f}",
            "between results": f"{found['redrawn_between_results']:.1f}",
            "another image to the original": f"{found['redrawn_other_image']:.1f}",
            "where codes are kept": f"{found['kept_to_original']:.1f}",
            "there, by the tokenizer alone": f"{found['kept_tokenizer_alone']:.1f}",
            "s per result": f"{found['seconds_per_image']:.4f}",
        }
        for found in metrics["drawn"]
    ]


def _caption(metrics: Metrics, config: SundaeInpaintingConfig) -> str:
    found = metrics["drawn"][0]
    start, end = _temperatures(found)
    others = [each for each in metrics["drawn"] if each["prior"] == "transformer"]
    rival = (
        f" The transformer, of {others[0]['prior_steps']} steps in {others[0]['prior_train_seconds']:.0f} s, "
        f"draws token by token at temperature {_temperatures(others[0])[0]:g} and sees only the tokens before the one "
        "that it draws."
        if others
        else ""
    )
    return (
        f"At scale {metrics['scale']}: {metrics['data']} in place of {metrics['label']}, a {found['prior']} prior of "
        f"{found['prior_steps']} steps in {found['prior_train_seconds']:.0f} s, {metrics['num_images']} held-out "
        f"images, {found['results_per_image']} results of each, codes drawn anew by the rule {found['rule']}, at most "
        f"{found['steps']} steps, temperature {start:g} to {end:g}.{rival} Mean absolute differences in grey levels "
        "over the pixels whose codes were drawn anew, and, last, over the others, which the decoder alone alters; "
        "originals are seen through the tokenizer. By the tokenizer alone: originals to the real images, over the same "
        f"pixels. Seconds: {found['clock']}. "
        f"Paper: {config.paper_says}; McKinney & Willcocks 2022, Fig. 11."
    )


def _sheet(metrics: Metrics, grid_KNRHWC: np.ndarray, config: FiguresConfig, job: Job) -> None:
    """A panel for every mask and prior, an image a line: the original, what is masked, results."""
    num_images, num_shown = grid_KNRHWC.shape[1:3]
    masks = list(dict.fromkeys(found["mask"] for found in metrics["drawn"]))
    num_priors = len(metrics["drawn"]) // len(masks)
    rows, columns = (len(masks), num_priors) if num_priors > 1 else (1, len(masks))
    with style(config, rows=rows, columns=columns, panel_ratio=1.1 * num_images / num_shown):
        figure, axes = plt.subplots(rows, columns, squeeze=False)
        for panel, found, grid_NRHWC in zip(axes.flat, metrics["drawn"], grid_KNRHWC, strict=True):
            panel.imshow(np.concatenate([strip(image) for image in grid_NRHWC]), interpolation="nearest")
            panel.set_title(f"{found['mask']}, {found['prior']}", fontsize="x-small")
            panel.set_axis_off()
        shown = f"original, masked (grey), {num_shown - 2} results"
        figure.suptitle(f"Inpainting at scale {metrics['scale']}, {metrics['data']}: {shown}", fontsize="small")
        save(figure, job.folder, job.variant, config.png_dpi)
