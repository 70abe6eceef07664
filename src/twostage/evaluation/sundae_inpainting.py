"""Verb `evaluation.sundae_inpainting`: how far results lie from the image, from each other, and from what is kept.

Source: McKinney & Willcocks 2022, Sec. 3.6 and 4.3, Fig. 11.
"""

# K masks times priors, N images, R results of each, H W height and width, C channels

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.evaluation.sampled import metrics_of
from twostage.runtime.artifacts import read_array, write_array, write_json
from twostage.runtime.job import Job

OF_SAMPLING = ("results_per_image", "tokens_per_image", "given_tokens_per_image", "steps", "temperature",
               "masked_share_of_pixels", "rule", "seconds_per_image", "clock")  # fmt: skip
GREY = 128  # of what is masked


@dataclass
class SundaeInpaintingConfig:
    """Which masks were drawn under, and by which priors."""

    label: str  # the row of the study
    data: str
    masks: list[str]
    priors: list[str]  # the first is the denoiser that the study is about
    grid_images: int  # shown of each mask and prior


def sundae_inpainting(config: SundaeInpaintingConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: of each mask's first images, by each prior, the original, the masked one and
    all results, uint8 [K, N, 2 + R, H, W, C].

    The inputs MASK.PRIOR are what was drawn, and prior.PRIOR the priors. The input `data` holds the real images that
    were encoded. Raises TwostageError if there is one image or one result alone, as nothing is then compared.
    """
    drawn, grids = [], []
    for mask, prior in itertools.product(config.masks, config.priors):
        images = Inpainted.read(job, f"{mask}.{prior}")
        found = metrics_of(job, f"{mask}.{prior}")
        trained = metrics_of(job, f"prior.{prior}")
        told = {"prior_steps": trained["steps"], "prior_train_seconds": trained["train_seconds"]}
        told |= {key: found[key] for key in OF_SAMPLING}
        drawn.append({"mask": mask, "prior": prior} | told | images.distances())
        grids.append(images.shown()[: config.grid_images])
    metrics = {
        "label": config.label,
        "scale": job.scale,
        "data": config.data,
        "num_images": len(images.original_NHWC),
        "drawn": drawn,
    }
    write_array(job.folder / "grid.npy", np.stack(grids))
    write_json(job.folder / "metrics.json", metrics)


@dataclass(frozen=True)
class Inpainted:
    """What one inpainting job leaves; `redrawn_HW`: the pixels whose codes were drawn anew.

    The originals are the real images through the tokenizer.
    """

    real_NHWC: np.ndarray
    original_NHWC: np.ndarray
    result_NRHWC: np.ndarray
    mask_HW: np.ndarray
    redrawn_HW: np.ndarray

    @classmethod
    def read(cls, job: Job, name: str) -> "Inpainted":
        """Reads the arrays of an input. Raises TwostageError if there are too few to compare."""
        folder = job.upstream(name)
        files = ("originals", "samples", "mask", "code_mask")
        original_NHWC, result, mask_HW, code_hw = (np.array(read_array(folder / f"{file}.npy")) for file in files)
        result_NRHWC = result.reshape(len(original_NHWC), -1, *original_NHWC.shape[1:])
        if min(result_NRHWC.shape[:2]) < 2:
            raise TwostageError(f"{folder} holds {result_NRHWC.shape[:2]} images and results; set two or more of both")
        # The first images of the split, as the latents have them.
        real_NHWC = np.array(read_array(job.upstream("data") / "validation_image.npy")[: len(original_NHWC)])
        factor = len(mask_HW) // len(code_hw)
        return cls(real_NHWC, original_NHWC, result_NRHWC, mask_HW, code_hw.repeat(factor, 0).repeat(factor, 1))

    def distances(self) -> dict[str, Any]:
        """Mean absolute differences in grey levels.

        In what was drawn anew: to the original, to the next image's original (what chance gives), and between an
        image's results, neighbours among them; in the rest: to the original, where the decoder alone alters it, and
        from the original to the real image, which the tokenizer alone makes.
        """
        result_NRHWC, original_NHWC = self.result_NRHWC.astype(float), self.original_NHWC.astype(float)
        to_original_NRHWC = np.abs(result_NRHWC - original_NHWC[:, None])
        to_other_NHWC = np.abs(original_NHWC - np.roll(original_NHWC, 1, axis=0))
        between_NRHWC = np.abs(result_NRHWC - np.roll(result_NRHWC, 1, axis=1))
        return {
            "redrawn_to_original": float(to_original_NRHWC[:, :, self.redrawn_HW].mean()),
            "redrawn_between_results": float(between_NRHWC[:, :, self.redrawn_HW].mean()),
            "redrawn_other_image": float(to_other_NHWC[:, self.redrawn_HW].mean()),
            "kept_to_original": float(to_original_NRHWC[:, :, ~self.redrawn_HW].mean()),
            "kept_tokenizer_alone": float(np.abs(original_NHWC - self.real_NHWC)[:, ~self.redrawn_HW].mean()),
        }

    def shown(self) -> np.ndarray:
        """Original, masked original and results of every image, uint8 [N, 2 + R, H, W, C]."""
        masked_NHWC = np.where(self.mask_HW[:, :, None], np.uint8(GREY), self.original_NHWC)
        return np.concatenate([self.original_NHWC[:, None], masked_NHWC[:, None], self.result_NRHWC], axis=1)
