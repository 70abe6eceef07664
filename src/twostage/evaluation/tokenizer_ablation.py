"""How well the tokenizers of one ablation reconstruct, side by side (Esser et al. 2021, Fig. 9, Table 5, Sec. A)."""

from dataclasses import dataclass, field
from typing import Any

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_json, write_json
from twostage.runtime.job import Job

# Of a tokenizer's training, of LPIPS and PSNR on the validation split.
TRAINED = ("steps", "num_parameters", "train_seconds", "seconds_per_step")
RECONSTRUCTED = ("num_codes", "codes_used", "perplexity", "lpips_vgg", "lpips_vgg_std_over_images", "psnr_decibels")


@dataclass
class TokenizerAblationConfig:
    """Which tokenizers are compared, in what they differ, and what the paper says of it."""

    name: str
    varies: str
    rows: list[str]
    paper_says: str
    paper_rows: list[dict[str, Any]] = field(default_factory=list)  # label, rfid and rfid_train as printed


def tokenizer_ablation(config: TokenizerAblationConfig, job: Job) -> None:
    """Writes metrics.json: the numbers of every row, what all have in common, and the paper's rows.

    Raises TwostageError if the rows were not trained for as many steps and measured on the same images.
    """
    found = {label: _read(job, label) for label in config.rows}
    common = _common(found)
    metrics = {
        "ablation": config.name,
        "varies": config.varies,
        "scale": job.scale,
        **common,
        "steps_per_epoch": common["num_train_images"] // common["batch_size"],
        "compared": {label: _row(files) for label, files in found.items()},
        "paper_says": config.paper_says,
        "paper_rows": config.paper_rows,
    }
    write_json(job.folder / "metrics.json", metrics)


def _read(job: Job, label: str) -> dict[str, Any]:
    """What the upstream jobs of a row wrote, by their kinds."""
    metrics = {kind: job.upstream(f"{label}.{kind}") / "metrics.json" for kind in ("tokenizer", "reconstruct", "rfid")}
    files = {kind: read_json(path) for kind, path in metrics.items()}
    files["data"] = read_json(job.upstream(f"{label}.data") / "metadata.json")
    files["config"] = read_json(job.upstream(f"{label}.tokenizer") / "config.json")["config"]
    return files


def _common(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What all rows share. Raises TwostageError if they do not, as then more than the ablation varies."""
    shared = {label: _shared(files) for label, files in found.items()}
    first = next(iter(shared))
    for label, values in shared.items():
        for key, value in values.items():
            if value != shared[first][key]:
                raise TwostageError(
                    f"{label} has {key} {value}, {first} has {shared[first][key]}; "
                    "give the rows of the experiment the same data and budget"
                )
    return shared[first]


def _shared(files: dict[str, Any]) -> dict[str, Any]:
    real, loop = files["rfid"]["protocol"]["real"], files["config"]["loop"]
    return {
        "data": files["data"]["name"],
        "num_train_images": files["data"]["splits"]["train"]["num_images"],
        "steps": files["tokenizer"]["steps"],
        "batch_size": loop["batch_size"],
        "seed": loop["seed"],
        "learning_rate": files["config"]["learning_rate"],
        "split": real["split"],
        "num_images": files["reconstruct"]["images"],
        "num_rfid_images": real["images"],
        "image_size": [real["height"], real["width"]],
    }


def _row(files: dict[str, Any]) -> dict[str, Any]:
    """The numbers of one tokenizer; shares are of its codes."""
    reconstructed, loss = files["reconstruct"], files["config"]["loss"]
    num_codes = reconstructed["num_codes"]
    return {
        "tokenizer": files["config"]["name"],
        **{key: loss[key] for key in ("reconstruction", "perceptual", "early_perceptual", "adversarial")},
        "adversarial_steps": _adversarial_steps(files),
        "rfid": files["rfid"]["rfid"],
        **{key: reconstructed[key] for key in RECONSTRUCTED},
        "codes_used_share": reconstructed["codes_used"] / num_codes,
        "perplexity_share": reconstructed["perplexity"] / num_codes,
        **{key: files["tokenizer"][key] for key in TRAINED},
    }


def _adversarial_steps(files: dict[str, Any]) -> int:
    loss = files["config"]["loss"]
    if loss["adversarial"] == "none":
        return 0
    return max(0, int(files["tokenizer"]["steps"]) - int(loss["adversarial_start"]))
