"""`twostage release NAME --prior DIR`: a trained prior and its tokenizer, small, as the model NAME in models/.

The model is what `twostage sample --model NAME` and `twostage.load_prior("NAME")` read, with a card that says what it
is, how it was made and what was measured.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torch.nn import functional

from twostage import priors, tokenizers
from twostage.commands.console import log, one_line_errors, start_log
from twostage.commands.paths import writable_folder
from twostage.commands.sample import described, draw
from twostage.errors import TwostageError
from twostage.latents.dataset import open_latents
from twostage.planning.made import read_record
from twostage.priors import DenoisingPrior
from twostage.runtime.artifacts import atomic_path, read_array, read_json, write_json
from twostage.runtime.job import PROVENANCE
from twostage.runtime.released import write_checksums
from twostage.runtime.tensors import read_tensors, write_tensors

Record = dict[str, Any]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Images of the validation split that both precisions encode.
COMPARED = 1000
# The name of a metric in metrics.json, and what a card calls it.
OF_PRIOR = {
    "validation_nll_nats_per_token": "NLL of validation images, nats per token",
    "validation_denoising_nats_per_token": "denoising loss of validation images, nats per token",
    "num_parameters": "parameters of the prior",
    "steps": "training steps of the prior",
}
OF_SAMPLES = {
    "fid": "FID",
    "fid_infinity": "FID-infinity",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}


def release(name: str, prior: Path, samples: Path | None, out: Path) -> Path:
    """Writes the folder `out`/NAME and returns it: tokenizer/, prior/, a picture, the prior's record, a card
    and the checksums of all these files, which are compared when the model is loaded.

    `prior`: the folder of a prior in artifacts/, with its record, whose tokenizer, latents and data lie there too.
    `samples`: an evaluation of its samples, whose metrics the card then names. Weights are float16, but for a tensor
    that it cannot hold; the card says what that changes. Raises TwostageError, and leaves nothing behind, if a folder
    is missing, the prior has a condition, the samples are another prior's, or the model exists.
    """
    if not NAME.fullmatch(name):
        raise TwostageError(f"{name!r} is no name of a model; use letters, digits, _, - and .")
    record = _record(prior)
    values = described(prior)
    if values["tokens"].get("condition") is not None:
        raise TwostageError(f"{prior} has a condition; release a prior without one")
    if (out / name).exists():
        raise TwostageError(f"{out / name} exists; give another name, or delete it")
    before = record["rests_on"].values()
    sha256 = values["tokens"]["tokenizer_sha256"]
    tokenizer = _folder(prior, (job for job in before if sha256 in job["files_sha256"].values()), "tokenizer")
    measured = _of_samples(samples, record["job"]) if samples is not None else []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as temporary:
        made = Path(temporary) / name
        _halve(tokenizer, made / "tokenizer")
        write_json(made / "tokenizer/config.json", read_json(tokenizer / "config.json"))
        _halve(prior, made / "prior")
        values["tokens"]["tokenizer_sha256"] = tokenizers.checksum(made / "tokenizer")
        write_json(made / "prior/config.json", values)
        write_json(made / PROVENANCE, record)
        of_latents = record["rests_on"][record["inputs"]["latents"]]
        latents = _folder(prior, (of_latents,), "latents")
        data = _folder(prior, (record["rests_on"][of_latents["inputs"]["data"]],), "data")
        compared = _of_halves(prior, tokenizer, made, latents, data)
        rows = [("data", read_json(latents / "metadata.json")["data"]), *_facts(prior, tokenizer, record), *measured]
        rows += compared
        draw(str(made), made / "samples.png", ())
        with atomic_path(made / "README.md") as path:
            path.write_text(_card(name, rows))
        write_checksums(made)
        made.rename(out / name)
    return out / name


def _record(folder: Path) -> Record:
    record = read_record(folder)
    if record is None:
        raise TwostageError(f"{folder} has no {PROVENANCE}; name a folder of artifacts/ that Snakemake made")
    return record


def _folder(prior: Path, jobs: Any, part: str) -> Path:
    """The folder of the first of some jobs. Raises TwostageError if it is not there."""
    folder = next((Path(job["folder"]) for job in jobs), None)
    if folder is None or not folder.is_dir():
        raise TwostageError(f"{prior}: its {part} {folder or ''} is missing; run in the clone that trained the prior")
    return folder


def _halve(source: Path, target: Path) -> None:
    """Copies the weights, as float16 where all of a tensor's values stay finite."""
    tensors, metadata = read_tensors(source / "model.safetensors")
    target.mkdir(parents=True)
    write_tensors(target / "model.safetensors", {name: _half(each) for name, each in tensors.items()}, metadata)


def _half(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.half() if tensor.is_floating_point() else tensor
    return half if torch.isfinite(half).all() else tensor


def _facts(prior: Path, tokenizer: Path, record: Record) -> list[tuple[str, Any]]:
    loaded, metrics, total = tokenizers.load(tokenizer), read_json(prior / "metrics.json"), record["total"]
    steps = []
    if isinstance(loaded, tokenizers.Tokenizer):
        steps = [("training steps of the tokenizer", loaded.config.loop.steps)]
    return [
        ("prior", record["job"].removeprefix("priors.train ")),
        ("tokenizer", f"{tokenizer.name}: f = {loaded.factor}, {loaded.num_codes} codes"),
        *steps,
        *((said, metrics[key]) for key, said in OF_PRIOR.items() if metrics.get(key) is not None),
        ("scale", record["scale"]),
        ("made at commit", ", ".join(total["commit"])),
        ("finished", record["finished"]),
        ("on", f"{', '.join(total['device'])}, {record['threads']} threads"),
        ("CPU seconds, with all earlier jobs", round(total["cpu_seconds"])),
    ]


def _of_samples(folder: Path, prior: str) -> list[tuple[str, Any]]:
    """The metrics of samples. Raises TwostageError if another prior drew them."""
    if prior not in _record(folder)["rests_on"]:
        raise TwostageError(f"{folder} does not rest on {prior}; name an evaluation of its samples")
    metrics = read_json(folder / "metrics.json")
    protocol = metrics["protocol"]
    real, drawn = protocol["real"], protocol["samples"]
    against = f"{drawn['images']} samples, {real['images']} images of {real['split']}"
    return [(f"{said}: {against}", metrics[key]) for key, said in OF_SAMPLES.items() if metrics.get(key) is not None]


def _of_halves(prior: Path, tokenizer: Path, made: Path, latents: Path, data: Path) -> list[tuple[str, Any]]:
    """What float16 changes: the share of codes that stay, and the NLL of the same codes, if the prior gives one."""
    image_NHWC = read_array(data / "validation_image.npy")[:COMPARED]
    index = [_encoded(folder, image_NHWC) for folder in (tokenizer, made / "tokenizer")]
    same = float((index[0] == index[1]).float().mean())
    found: list[tuple[str, Any]] = [("codes of validation images that float16 weights keep", f"{same:.2%}")]
    both = [priors.load(folder) for folder in (prior, made / "prior")]
    if not any(isinstance(each, DenoisingPrior) for each in both):
        index_NT = torch.from_numpy(np.array(open_latents(latents).split("validation").image_NT[:COMPARED], np.int64))
        nll = [_nll(each, index_NT) for each in both]
        found.append(("NLL of the same codes, float32 and float16 weights", f"{nll[0]:.5f}, {nll[1]:.5f}"))
    return found


@torch.no_grad()
def _encoded(folder: Path, image_NHWC: np.ndarray) -> torch.Tensor:
    tokenizer = tokenizers.load(folder)
    batches = np.array_split(image_NHWC, max(1, len(image_NHWC) // 100))
    return torch.cat([tokenizer.encode(tokenizer.prepare(np.array(batch))).cpu() for batch in batches])


@torch.no_grad()
def _nll(prior: Any, index_NT: torch.Tensor) -> float:
    losses = [
        functional.cross_entropy(prior.logits(each).flatten(0, 1), each.flatten()) for each in index_NT.split(100)
    ]
    return float(torch.stack(losses).mean())


def _card(name: str, rows: list[tuple[str, Any]]) -> str:
    shown = [(said, f"{value:.4g}" if isinstance(value, float) else value) for said, value in rows]
    table = tabulate(shown, headers=["", ""], tablefmt="github", disable_numparse=True)
    return "\n".join(
        [
            f"# {name}",
            "",
            "![samples](samples.png)",
            "",
            f"    python -m twostage sample --model {name} --out samples.png",
            "",
            table,
            "",
            f"All configs, checksums and versions: [{PROVENANCE}]({PROVENANCE}).",
            "",
            "Licence of the weights: that of this project, LICENSE. The authors of the data have terms of their own.",
            "",
        ]
    )


def parser() -> argparse.ArgumentParser:
    """The command's own arguments."""
    found = argparse.ArgumentParser("twostage release", description=__doc__.splitlines()[0], allow_abbrev=False)
    found.add_argument("name", help="what the model is called, such as cifar10-laptop")
    found.add_argument("--prior", type=Path, required=True, metavar="DIR", help="a prior's folder in artifacts/")
    found.add_argument("--samples", type=Path, metavar="DIR", help="an evaluation of its samples in artifacts/")
    found.add_argument("--out", type=writable_folder, default=Path("models"), metavar="DIR", help="default: models")
    return found


def main() -> None:
    """Command line."""
    with one_line_errors():
        start_log(None)
        arguments = parser().parse_args()
        log.info("%s", release(arguments.name, arguments.prior, arguments.samples, arguments.out))
