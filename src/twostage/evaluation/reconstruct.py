"""How well a tokenizer reconstructs: LPIPS, PSNR, sharpness, codebook use and perplexity on the validation split."""

# N images, B batch, C channels, H height, W width, K codes

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from twostage import tokenizers
from twostage.config.schema import EvaluationConfig
from twostage.errors import TwostageError
from twostage.latents.statistics import code_statistics
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.tokenizers import AnyTokenizer, as_bytes
from twostage.weights.lpips import PerceptualDistance

log = logging.getLogger(__name__)


def psnr(image_BCHW: torch.Tensor, other_BCHW: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio per image, decibels; images in [-1, 1], so the peak-to-peak signal is 2."""
    mean_square_B = (image_BCHW - other_BCHW).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / mean_square_B)


def gradient_size(image_BCHW: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring pixels per image, down and to the right."""
    down_B, right_B = (image_BCHW.diff(dim=dim).abs().mean(dim=(1, 2, 3)) for dim in (2, 3))
    return (down_B + right_B) / 2


def reconstruct(config: EvaluationConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: originals over reconstructions, uint8 [2, grid_images, H, W, 3]."""
    images = read_array(job.upstream("data") / "validation_image.npy")
    if len(images) < config.reconstruction_images:
        raise TwostageError(
            f"evaluation.reconstruction_images={config.reconstruction_images}, but the validation split has "
            f"{len(images)} images; lower it"
        )
    tokenizer = tokenizers.load(job.upstream("tokenizer"))
    distance = PerceptualDistance.load(job.upstream("vgg16")).to(training.device())
    lpips_B, psnr_B, real_B, output_B = [], [], [], []
    count_K = np.zeros(tokenizer.num_codes, dtype=np.int64)
    shown: list[np.ndarray] = []
    for image_BCHW in _batches(images[: config.reconstruction_images], config.batch_size, "reconstruct"):
        index_BHW = tokenizer.encode(image_BCHW)
        output_BCHW = tokenizer.decode(index_BHW).clamp(-1, 1)
        with torch.inference_mode():
            lpips_B.append(distance(image_BCHW, output_BCHW).flatten())
        psnr_B.append(psnr(image_BCHW, output_BCHW))
        real_B.append(gradient_size(image_BCHW))
        output_B.append(gradient_size(output_BCHW))
        count_K += np.bincount(index_BHW.cpu().numpy().ravel(), minlength=len(count_K))
        shown = shown or [as_bytes(image_BCHW[: config.grid_images]), as_bytes(output_BCHW[: config.grid_images])]
    trained = read_json(job.upstream("tokenizer") / "metrics.json")
    metrics = {
        "variant": job.variant,
        "scale": job.scale,
        "images": config.reconstruction_images,
        "num_parameters": trained["num_parameters"],
        "num_codes": tokenizer.num_codes,
        **code_statistics(count_K),
        "lpips_vgg": _mean(lpips_B),
        "lpips_vgg_std_over_images": float(torch.cat(lpips_B).std()),
        "psnr_decibels": _mean(psnr_B),
        "sharpness": _mean(output_B) / _mean(real_B),
    }
    write_array(job.folder / "grid.npy", np.stack(shown))
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: LPIPS %.3f, PSNR %.1f dB", job.variant, metrics["lpips_vgg"], metrics["psnr_decibels"])


def _mean(values: list[torch.Tensor]) -> float:
    return float(torch.cat(values).mean())


def _batches(images: np.ndarray, batch_size: int, label: str) -> Iterator[torch.Tensor]:
    for start in tqdm(range(0, len(images), batch_size), desc=label, unit="batch", disable=None):
        batch = images[start : start + batch_size]
        yield tokenizers.prepare_map(batch, "colour").to(training.device())


def reconstructed(folder: Path, image_NHWC: np.ndarray, batch_size: int) -> np.ndarray:
    """Images through the tokenizer in `folder`, uint8 as they came: how near to them their codes can come at all."""
    return np.concatenate(list(reconstructions(tokenizers.load(folder), image_NHWC, batch_size, "reconstruct")))


def reconstructions(
    tokenizer: AnyTokenizer, image_NHWC: np.ndarray, batch_size: int, label: str
) -> Iterator[np.ndarray]:
    """The images after encoding and decoding, batch by batch, uint8 BHWC as they came, with a progress bar."""
    for image_BCHW in _batches(image_NHWC, batch_size, label):
        yield as_bytes(tokenizer.decode(tokenizer.encode(image_BCHW)))
