"""`twostage released [NAME ...] [--data FOLDER]`: the authors' checkpoints, measured on a folder of yours.

Converts each checkpoint that was fetched to models/NAME, measures the rFID of its tokenizer on the pictures of FOLDER
and, with --samples, the FID of its samples against them. Writes results/released.csv and .md: all entries, beside the
printed numbers. KEY=VALUE overrides the protocol, by default that of scale=paper.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from twostage.commands import run
from twostage.commands.console import log, one_line_errors, start_log
from twostage.config.composition import compose
from twostage.errors import TwostageError
from twostage.figures.tables import write_text
from twostage.planning import prompt
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_json, write_csv
from twostage.runtime.job import Job
from twostage.sources.released import ENTRIES, LICENCE, Released, find_released
from twostage.sources.resumed import Fetched, fetched

MODELS = Path("models")  # `twostage sample --model NAME` looks here
# Conditions that need no maps of the user's.
DRAWN = (None, "class")
UNMEASURED = "needs --data FOLDER"
LABELS = {"rfid": "rFID", "fid": "FID"}


def parser() -> argparse.ArgumentParser:
    """The command's own arguments."""
    shape = argparse.RawDescriptionHelpFormatter
    found = argparse.ArgumentParser(prog="twostage released", description=__doc__, formatter_class=shape)
    found.add_argument("words", nargs="*", metavar="NAME", help="entries to measure (default: all); or KEY=VALUE")
    found.add_argument("--data", type=Path, metavar="FOLDER", help="pictures of the entries' dataset")
    found.add_argument("--samples", type=int, default=0, metavar="N", help="FID of N samples; the paper draws 50000")
    found.add_argument("--results", type=Path, default=Path("results"), help="where the table goes (default: results)")
    return found


def main() -> None:
    """Writes released.csv and released.md."""
    arguments = parser().parse_intermixed_args()
    names = [word for word in arguments.words if "=" not in word]
    typed = [word for word in arguments.words if "=" in word]
    with one_line_errors():
        start_log(None)
        chosen = {find_released(name).name for name in names} or {entry.name for entry in ENTRIES}
        protocol = None if arguments.data is None else _protocol(arguments.data, typed)
        rows = [_row(entry, entry.name in chosen, protocol, arguments.samples) for entry in ENTRIES]
        write_csv(arguments.results / "released.csv", rows)
        write_text(arguments.results / "released.md", _page(rows))
    log.info("%s", arguments.results / "released.md")


def _protocol(data: Path, typed: Sequence[str]) -> tuple[str, ...]:
    """Overrides: all pictures of the folder but two, as a dataset here has three splits of one picture at least."""
    if not data.is_dir():
        raise TwostageError(f"--data {data} is not a folder; name a folder of pictures")
    usual = {
        "scale": "paper",
        "data": "folder",
        "data.name": re.sub(r"\W+", "_", data.resolve().name).strip("_").lower() or "pictures",
        "data.root": str(data.resolve()),
        "data.tune_images": "1",
        "data.validation_images": "1",
        "evaluation.features.split": "train",
    }
    asked = usual | dict(word.split("=", 1) for word in typed)
    return tuple(f"{key}={value}" for key, value in asked.items())


def _row(entry: Released, is_chosen: bool, protocol: tuple[str, ...] | None, num_samples: int) -> dict[str, Any]:
    """The entry's line of the table; what was not measured is empty, and `why` says the reason."""
    files = fetched(entry) if is_chosen else None
    row: dict[str, Any] = {
        "name": entry.name,
        "kind": entry.kind,
        "dataset": entry.dataset,
        "condition": entry.condition or "",
        "licence": entry.licence,
        "page": entry.page,
        "checkpoint_sha256": files.sha256["checkpoint.ckpt"] if files else entry.checkpoint.sha256 or "",
        "printed": "; ".join(
            f"{LABELS[each.quantity]} {each.value:g}{f' vs {each.split}' if each.split else ''} ({each.source})"
            for each in entry.printed
        ),
    }
    empty = {"rfid": "", "rfid_images": "", "fid": "", "fid_samples": ""}
    if files is None:
        why = f"not fetched: twostage fetch {entry.name}" if is_chosen else "not asked for"
        return row | empty | {"why": why}
    try:
        folder = imported(entry, files)
    except TwostageError as error:
        return row | empty | {"why": f"not imported: {error}"}
    if protocol is None:
        return row | empty | {"why": UNMEASURED}
    return row | empty | _measured(entry, folder, protocol, num_samples)


def imported(entry: Released, files: Fetched) -> Path:
    """The folder of the entry's model, converted unless it is there. Raises TwostageError if it cannot be read."""
    folder = MODELS / entry.name
    if (folder / "tokenizer/config.json").is_file():
        return folder
    # torch is loaded only where there is something to convert.
    from twostage.sampling import import_released as transformers
    from twostage.tokenizers import import_released as tokenizers

    if entry.kind == "transformer":
        transformers.convert(files.config, files.checkpoint, folder)
    else:
        tokenizers.convert(files.config, files.checkpoint, folder / "tokenizer")
    return folder


def _measured(entry: Released, folder: Path, protocol: tuple[str, ...], num_samples: int) -> dict[str, Any]:
    measured = _of(protocol, "scale", "data", "evaluation")
    rfid = prompt.asked("evaluation.rfid", (*measured, f"tokenizer={folder / 'tokenizer'}"))
    metrics = read_json(run.make(rfid) / "metrics.json")
    found = {"rfid": metrics["rfid"], "rfid_images": metrics["protocol"]["reconstructions"]["images"], "why": ""}
    if entry.kind == "tokenizer" or not num_samples:
        return found
    if entry.condition not in DRAWN:
        return found | {"why": f"samples need maps of {entry.condition}: twostage sample --model {entry.name}"}
    return found | {"fid": _fid(entry, folder, protocol, num_samples), "fid_samples": num_samples}


def _of(protocol: Sequence[str], *groups: str) -> tuple[str, ...]:
    """The overrides of these config groups."""
    return tuple(each for each in protocol if prompt.group_of(each) in groups)


def _fid(entry: Released, folder: Path, protocol: tuple[str, ...], num_samples: int) -> float:
    """FID of samples, drawn as the printed one's, against the pictures."""
    measured, sampling = _of(protocol, "scale", "data", "evaluation"), _of(protocol, "sampling")
    how = dict(each.split("=", 1) for each in (f"sampling.num_images={num_samples}", *entry.draw, *sampling))
    models = [f"{name}={folder / name}" for name in ("prior", "tokenizer")]
    asked = (*_of(protocol, "scale", "data"), *models, *(f"{key}={value}" for key, value in how.items()))
    drawn = prompt.asked("sampling.generate", asked)
    if entry.condition == "class":
        given = {**drawn.job.inputs, "condition": str((folder / "condition").resolve())}
        drawn = replace(drawn, job=replace(drawn.job, inputs=given))
    real = prompt.asked("evaluation.features", measured)
    config = compose(measured)["evaluation"]["samples"]
    # Precision, recall and KID are not in the table; they need no more images than there are.
    config |= {"images": num_samples, "kid_subset_size": min(config["kid_subset_size"], num_samples)}
    inputs = {"samples": str(run.make(drawn)), "real": str(run.make(real)), "inception": real.job.inputs["inception"]}
    scale, files = real.job.scale, VERBS["evaluation.samples"].files
    variant = f"samples.{real.job.variant}.{entry.name}"
    out = f"artifacts/{scale}/evaluation/{variant}"
    job = Job("evaluation", "samples", variant, scale, config, inputs, out, files)
    fid: float = read_json(run.make(replace(real, job=job, jobs={})) / "metrics.json")["fid"]
    return fid


def _page(rows: Sequence[dict[str, Any]]) -> str:
    cells = [
        {
            "checkpoint": f"[{row['name']}]({row['page']})",
            "dataset": row["dataset"] + (f", {row['condition']}" if row["condition"] else ""),
            "printed": row["printed"],
            "rFID": f"{row['rfid']:.2f} ({row['rfid_images']} images)" if row["rfid"] != "" else "",
            "FID": f"{row['fid']:.2f} ({row['fid_samples']} samples)" if row["fid"] != "" else "",
            "why empty": row["why"],
        }
        for row in rows
    ]
    lines = [
        "# The released checkpoints",
        "",
        "What the authors of Taming Transformers released and the numbers that they print, beside ours on the pictures",
        "of a folder (`twostage released`). They compare only if the folder holds the split that the print names.",
        f"Licence: {LICENCE}. The authors give no checksums, and SUNDAE's authors",
        "released no checkpoint.",
        "",
        str(pd.DataFrame(cells).to_markdown(index=False, disable_numparse=True)),
    ]
    return "\n".join(lines) + "\n"
