"""What a study can measure: each quantity once, with its label, unit and format, and where its number comes from.

A quantity either stands in the metrics of a job that a study needs anyway, or has a function of its own, which
`evaluation.measure` calls. Imports no torch, as plans and figures read this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from twostage.config.schema import DENOISERS
from twostage.evaluation.quantities.adversarial_steps import adversarial_steps
from twostage.evaluation.quantities.distinct_codes import distinct_codes
from twostage.runtime.scores import BOUND, DENOISING, NLL, on

# Whose job's metrics hold a number; a study plans as far as the roles of what it measures.
ROLES = ("tokenizer", "reconstruct", "rfid", "prior", "sampling", "samples")


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


AUTOREGRESSIVE = ("gpt", "pixelsnail")


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
    "lpips": Quantity("LPIPS (VGG)", "", ".3f", "lower", "reconstruct", "lpips_vgg"),
    "lpips_std_over_images": Quantity(
        "LPIPS, std over images", "", ".3f", "neither", "reconstruct", "lpips_vgg_std_over_images"
    ),
    "psnr": Quantity("PSNR", "dB", ".2f", "higher", "reconstruct", "psnr_decibels"),
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
    "seconds_per_image": Quantity("seconds per image", "s", ".4f", "lower", "sampling", "seconds_per_image"),
    "distinct_codes": Quantity(
        "distinct codes in a sampled grid", "codes", ".1f", "neither", "sampling", measure=distinct_codes
    ),
}
