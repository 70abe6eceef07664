"""What a study can measure: each quantity once, with its label, unit and format, and where its number comes from.

A quantity either stands in the metrics of a job that a study needs anyway, or has a function of its own, which
`evaluation.measure` calls. Imports no torch, as plans and figures read this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from twostage.config import plugins
from twostage.config.schema import DENOISERS
from twostage.errors import TwostageError
from twostage.evaluation.quantities.adversarial_steps import adversarial_steps
from twostage.evaluation.quantities.distinct_codes import distinct_codes
from twostage.runtime.scores import BOUND, DENOISING, NLL, on

# Whose job's metrics hold a number; a study plans as far as the roles of what it measures.
ROLES = ("tokenizer", "reconstruct", "rfid", "prior", "sampling", "samples", "agreement")


@dataclass(frozen=True)
class Quantity:
    """One measured number of a point of a study."""

    label: str  # on axes and in tables
    unit: str
    format: str  # Python's format of one value
    better: str  # lower | higher | neither
    role: str  # one of ROLES
    key: str = ""  # where the number stands in the metrics.json of that job; empty: `measure` makes it
    curve: str = ""  # column of that job's curve.csv with the number at every evaluation; empty: measured at the end
    measure: Callable[[Mapping[str, Path]], float] | None = None  # folders by their roles -> the number
    models: tuple[str, ...] = ()  # architectures of priors, or verbs of tokenizers, that have it; empty: all
    given: str = ""  # of agreement: the map of the condition that images are held against; empty: any, or none


AUTOREGRESSIVE = ("gpt", "pixelsnail")


def spread_over_images(quantity: str) -> str:
    """The name of the standard deviation over images that stands beside a quantity of AGREEMENT."""
    return f"{quantity}_std_over_images"


def _over_images(quantity: str, label: str, unit: str) -> Quantity:
    key = spread_over_images(quantity)
    return Quantity(f"{label}, std over images", unit, ".3f", "neither", "agreement", key)


# One entry for each word, so that a job counts its own quantities alone.
QUANTITIES = {
    "nll": Quantity("validation NLL", "nats per token", ".3f", "lower", "prior", NLL, NLL, models=AUTOREGRESSIVE),
    "train_nll": Quantity(
        "train NLL", "nats per token", ".3f", "lower", "prior", curve=on("train", NLL), models=AUTOREGRESSIVE
    ),
    "denoising": Quantity(
        "unrolled denoising cross-entropy",
        "nats per token",
        ".3f",
        "lower",
        "prior",
        DENOISING,
        DENOISING,
        models=("sundae",),
    ),
    "bound": Quantity(
        "upper bound of the validation NLL",
        "nats per token",
        ".3f",
        "lower",
        "prior",
        BOUND,
        BOUND,
        models=("absorbing",),
    ),
    "seconds_per_step": Quantity("seconds per step", "s", ".4f", "lower", "prior", "seconds_per_step"),
    "parameters": Quantity("parameters", "", ",.0f", "neither", "prior", "num_parameters"),
    "rfid": Quantity("rFID", "", ".2f", "lower", "rfid", "rfid"),
    "rkid": Quantity("KID of reconstructions", "", ".4f", "lower", "rfid", "rkid_mean"),
    "lpips": Quantity("LPIPS (VGG)", "", ".3f", "lower", "reconstruct", "lpips_vgg"),
    "lpips_std_over_images": Quantity(
        "LPIPS, std over images", "", ".3f", "neither", "reconstruct", "lpips_vgg_std_over_images"
    ),
    "psnr": Quantity("PSNR", "dB", ".2f", "higher", "reconstruct", "psnr_decibels"),
    # Their gradients over those of the originals: below 1 they are blurred.
    "sharpness": Quantity("sharpness (originals: 1)", "", ".3f", "neither", "reconstruct", "sharpness"),
    "codes_used": Quantity("codes used", "codes", ".0f", "higher", "reconstruct", "codes_used"),
    "perplexity": Quantity("perplexity", "codes", ".0f", "higher", "reconstruct", "perplexity"),
    "adversarial_steps": Quantity(
        "steps with a discriminator", "", ".0f", "neither", "tokenizer", measure=adversarial_steps, models=("train",)
    ),
    "tokenizer_train_seconds": Quantity(
        "training", "s", ".0f", "lower", "tokenizer", "train_seconds", models=("train", "cluster")
    ),
    "fid": Quantity("FID", "", ".1f", "lower", "samples", "fid"),
    "fid_infinity": Quantity("FID, unlimited samples", "", ".1f", "lower", "samples", "fid_infinity"),
    "kid": Quantity("KID", "", ".4f", "lower", "samples", "kid_mean"),
    "precision": Quantity("precision", "", ".3f", "higher", "samples", "precision"),
    "recall": Quantity("recall", "", ".3f", "higher", "samples", "recall"),
    "density": Quantity("density", "", ".3f", "higher", "samples", "density"),
    "coverage": Quantity("coverage", "", ".3f", "higher", "samples", "coverage"),
    "network_evaluations": Quantity(
        "network evaluations per image",
        "",
        ".1f",
        "lower",
        "sampling",
        "mean_steps_per_image",
        models=DENOISERS,
    ),
    "changed_late": Quantity(
        "tokens that a step of the second half changes",
        "",
        ".3f",
        "neither",
        "sampling",
        "changed_share_in_second_half",
        models=DENOISERS,
    ),
    "seconds_per_image": Quantity("seconds per image", "s", ".4f", "lower", "sampling", "seconds_per_image"),
    "distinct_codes": Quantity(
        "distinct codes in a sampled grid", "codes", ".1f", "neither", "sampling", measure=distinct_codes
    ),
    # How samples agree with the conditions that they are held against; each has its spread over images beside it.
    "class_recovered": Quantity("class recovered", "", ".3f", "higher", "agreement", "class_recovered"),
    "edges_f1": Quantity("edges agree (F1)", "", ".3f", "higher", "agreement", "edges_f1", given="edges"),
    "silhouette_iou": Quantity(
        "silhouette agrees (IoU)", "", ".3f", "higher", "agreement", "silhouette_iou", given="segmentation"
    ),
    "consistency_psnr_decibels": Quantity(
        "downsampled sample to condition, PSNR",
        "dB",
        ".3f",
        "higher",
        "agreement",
        "consistency_psnr_decibels",
        given="low_resolution",
    ),
    "lpips_to_truth": Quantity("LPIPS to the real image", "", ".3f", "lower", "agreement", "lpips_to_truth"),
    "psnr_to_truth_decibels": Quantity(
        "PSNR to the real image", "dB", ".3f", "higher", "agreement", "psnr_to_truth_decibels"
    ),
    "diversity_lpips": Quantity(
        "LPIPS between samples of one condition", "", ".3f", "neither", "agreement", "diversity_lpips"
    ),
    "class_recovered_std_over_images": _over_images("class_recovered", "class recovered", ""),
    "edges_f1_std_over_images": _over_images("edges_f1", "edges agree (F1)", ""),
    "silhouette_iou_std_over_images": _over_images("silhouette_iou", "silhouette agrees (IoU)", ""),
    "consistency_psnr_decibels_std_over_images": _over_images(
        "consistency_psnr_decibels", "downsampled sample to condition, PSNR", "dB"
    ),
    "lpips_to_truth_std_over_images": _over_images("lpips_to_truth", "LPIPS to the real image", ""),
    "psnr_to_truth_decibels_std_over_images": _over_images("psnr_to_truth_decibels", "PSNR to the real image", "dB"),
    "diversity_lpips_std_over_images": _over_images("diversity_lpips", "LPIPS between samples of one condition", ""),
}


def add_quantity(name: str, quantity: Quantity) -> None:
    """Adds a quantity of a plugin, which a study may then measure.

    Raises TwostageError if the name is taken, its format is none of a number, or nothing says where that comes from.
    """
    if quantity.role not in ROLES:
        raise TwostageError(f"quantity {name} has role {quantity.role}; choose one of {', '.join(ROLES)}")
    if not (quantity.key or quantity.curve or quantity.measure):
        raise TwostageError(f"quantity {name} has no number; give it key, curve or measure")
    try:
        format(1.0, quantity.format)
    except (ValueError, TypeError):
        raise TwostageError(
            f"quantity {name} has format {quantity.format!r}; give it one of Python's, such as .3f"
        ) from None
    plugins.add("quantity", name, QUANTITIES, quantity)
