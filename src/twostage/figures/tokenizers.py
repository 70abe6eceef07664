"""Quality of the image tokenizers: one table, and originals over their reconstructions."""

from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from twostage.config.schema import FiguresConfig
from twostage.figures.style import save, style
from twostage.runtime.artifacts import read_array, read_json, write_csv
from twostage.runtime.job import Job


@dataclass
class TokenizersConfig:
    """The look."""

    figures: FiguresConfig = field(default_factory=FiguresConfig)


def tokenizers(config: TokenizersConfig, job: Job) -> None:
    """Writes tokenizers.csv and reconstructions.{pdf,png}."""
    folders = {variant: Path(folder) for variant, folder in job.inputs.items()}
    metrics = {variant: read_json(folder / "metrics.json") for variant, folder in folders.items()}
    write_csv(job.folder / "tokenizers.csv", list(metrics.values()))
    with style(config.figures, rows=len(folders), columns=1, panel_ratio=0.32):
        figure, axes = plt.subplots(len(folders), 1, squeeze=False)
        for panel, (variant, folder) in zip(axes[:, 0], folders.items(), strict=True):
            panel.imshow(tiled(read_array(folder / "grid.npy")), interpolation="nearest")
            numbers = metrics[variant]
            panel.set_title(
                f"{variant} at scale {numbers['scale']}: above the originals, below their reconstructions. "
                f"Over {numbers['images']} validation images: LPIPS (VGG) {numbers['lpips_vgg']:.3f}, "
                f"PSNR {numbers['psnr_decibels']:.1f} dB, perplexity {numbers['perplexity']:.0f} of "
                f"{numbers['num_codes']} codes",
                fontsize="x-small",
                wrap=True,
            )
            panel.set_axis_off()
        save(figure, job.folder, "reconstructions", config.figures.png_dpi)


def tiled(grid: np.ndarray) -> np.ndarray:
    """uint8 [R, N, H, W, 3] -> one picture of R rows and N columns, a white line between the tiles."""
    padded = np.pad(grid, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    rows, columns, height, width, channels = padded.shape
    return padded.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
