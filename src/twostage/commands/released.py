"""`twostage released [NAME ...] [--data FOLDER]`: the authors' checkpoints, measured on a folder of yours.

Converts each checkpoint that was fetched to models/NAME, measures the rFID of its tokenizer on the pictures of FOLDER
and, with --samples, the FID of its samples against them. A prior of maps draws from the maps of the pictures. Writes
results/released.csv and .md: all entries, beside the printed numbers. What is not measured this time keeps its numbers.
KEY=VALUE overrides the protocol, by default that of scale=paper; the table of another scale is
results/SCALE/released.csv.
"""

import argparse
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from twostage.commands import run
from twostage.commands.console import log, one_line_errors, start_log
from twostage.commands.paths import writable_folder
from twostage.config.composition import compose, parse
from twostage.config.overrides import override_of
from twostage.config.schema import DataConfig
from twostage.data.folder import found_images, root_folder
from twostage.data.listing import walk
from twostage.errors import TwostageError
from twostage.figures.tables import write_text
from twostage.planning import prompt
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_csv, read_json, sha256_json, write_csv, write_json
from twostage.runtime.job import Job
from twostage.sources.released import ENTRIES, LICENCE, Released, find_released
from twostage.sources.resumed import CHECKPOINT, Fetched, fetched

MODELS = Path("models")  # `twostage sample --model NAME` looks here
# Conditions under which samples are measured: none, every class in turn, and the maps of the pictures.
DRAWN = (None, "class", "segmentation", "depth")
UNMEASURED = "needs --data FOLDER"
CONVERTED = "converted.json"  # in a model's folder: the checksums of the files that it was made of
# Groups of overrides that decide what is measured.
READ = ("scale", "data", "evaluation", "sampling")
# What a measurement fills.
EMPTY = dict.fromkeys(("scale", "pictures", "pictures_sha256", "rfid", "rfid_images", "fid", "fid_samples"), "")
LABELS = {"rfid": "rFID", "fid": "FID"}


def parser() -> argparse.ArgumentParser:
    """The command's own arguments."""
    shape = argparse.RawDescriptionHelpFormatter
    found = argparse.ArgumentParser(prog="twostage released", description=__doc__, formatter_class=shape)
    found.add_argument("words", nargs="*", metavar="NAME", help="entries to measure (default: all); or KEY=VALUE")
    found.add_argument("--data", type=Path, metavar="FOLDER", help="pictures of the entries' dataset")
    found.add_argument("--samples", type=int, default=0, metavar="N", help="FID of N samples; the paper draws 50000")
    found.add_argument(
        "--results", type=writable_folder, default=Path("results"), help="where the table goes (default: results)"
    )
    return found


def main() -> None:
    """Writes released.csv and released.md."""
    with one_line_errors():
        start_log(None)
        arguments = parser().parse_intermixed_args()
        names = [word for word in arguments.words if "=" not in word]
        typed = [word for word in arguments.words if "=" in word]
        chosen = {find_released(name).name for name in names} or {entry.name for entry in ENTRIES}
        if arguments.data is None and (typed or arguments.samples):
            raise TwostageError("overrides and --samples say how to measure; name the pictures too: --data FOLDER")
        protocol = None if arguments.data is None else _protocol(arguments.data, typed)
        results = arguments.results / _place(protocol)
        rows = _rows(results / "released.csv", chosen, protocol, arguments.samples)
        write_csv(results / "released.csv", rows)
        write_text(results / "released.md", _page(rows))
    log.info("%s", results / "released.md")


def _protocol(data: Path, typed: Sequence[str]) -> tuple[str, ...]:
    """Overrides: all pictures of the folder but two, as a dataset here has three splits of one picture at least.

    They are the split from which sampling takes its maps.
    """
    if not data.is_dir():
        raise TwostageError(f"--data {data} is not a folder; name a folder of pictures")
    if other := [word for word in typed if prompt.group_of(word) not in READ]:
        raise TwostageError(f"{other[0]} is a choice that nothing here reads; choose of {', '.join(READ)}")
    root = str(data.resolve())
    # One name for each folder and way to read it: what is stored of another one is not taken up.
    meaning = sha256_json([root, [word for word in typed if prompt.group_of(word) in ("scale", "data")]])
    basename = re.sub(r"\W+", "_", data.resolve().name, flags=re.ASCII).strip("_").lower()[:32] or "pictures"
    usual = {
        "scale": "paper",
        "data": "folder",
        "data.name": f"{basename}_{meaning[:8]}",
        "data.root": override_of("data.root", root).partition("=")[2],
        "data.tune_images": "1",
        "evaluation.features.split": "validation",
    }
    asked = usual | dict(word.split("=", 1) for word in typed)
    protocol = tuple(f"{key}={value}" for key, value in asked.items())
    config = parse(DataConfig, compose(_of(protocol, "scale", "data"))["data"])
    if config.source != "folder" or "data.validation_images" in asked:
        return protocol
    pictures, _ = found_images(config, walk(root_folder(config)))
    return (*protocol, f"data.validation_images={max(1, len(pictures) - 1 - config.tune_images)}")


def _place(protocol: tuple[str, ...] | None) -> str:
    """Where in results/ the table of the protocol's scale lies; git keeps that of scale paper."""
    scale = "paper" if protocol is None else compose(_of(protocol, "scale"))["scale"]["name"]
    return "" if scale == "paper" else str(scale)


def _rows(
    table: Path, chosen: Collection[str], protocol: tuple[str, ...] | None, num_samples: int
) -> list[dict[str, Any]]:
    """All entries; what is measured neither now nor then is empty."""
    before = {row["name"]: row for row in read_csv(table)} if table.is_file() else {}
    rows = []
    for entry in ENTRIES:
        row = _row(entry, entry.name in chosen, protocol, num_samples)
        if protocol is not None and entry.name in chosen and row["why"]:
            log.warning("%s: %s", entry.name, row["why"])
        then = before.get(entry.name, {})
        is_of_another = row["checkpoint_sha256"] not in ("", then.get("checkpoint_sha256"))
        if row["rfid"] == "" and then.get("rfid") and not is_of_another:
            row |= {key: then.get(key, "") for key in (*EMPTY, "checkpoint_sha256", "why")}
        rows.append(row)
    return rows


def _row(entry: Released, is_chosen: bool, protocol: tuple[str, ...] | None, num_samples: int) -> dict[str, Any]:
    """The entry's line of the table; what was not measured is empty, and `why` says the reason."""
    files = fetched(entry)
    row: dict[str, Any] = {
        "name": entry.name,
        "kind": entry.kind,
        "dataset": entry.dataset,
        "condition": entry.condition or "",
        "licence": entry.licence,
        "page": entry.page,
        "checkpoint_sha256": files.sha256[CHECKPOINT] if files else entry.checkpoint.sha256 or "",
        "printed": "; ".join(
            f"{LABELS[each.quantity]} {each.value:g}{f' vs {each.split}' if each.split else ''} ({each.source})"
            for each in entry.printed
        ),
        **EMPTY,
    }
    if files is None:
        return row | {"why": f"not fetched: twostage fetch {entry.name}"}
    if not is_chosen:
        return row | {"why": "not asked for"}
    try:
        folder = imported(entry, files)
    except TwostageError as error:
        return row | {"why": f"not imported: {error}"}
    if protocol is None:
        return row | {"why": UNMEASURED}
    try:
        return row | _measured(entry, folder, protocol, num_samples)
    except TwostageError as error:
        return row | {"why": f"not measured: {error}"}


def imported(entry: Released, files: Fetched) -> Path:
    """The folder of the entry's model, converted unless it is there, of these very files.

    Raises TwostageError if the files cannot be read, or the folder is none that was converted here.
    """
    folder = MODELS / entry.name
    record = folder / CONVERTED
    if record.is_file() and read_json(record) == files.sha256:
        return folder
    if folder.exists() and not record.is_file():
        raise TwostageError(f"{folder} was not converted here; move it away")
    shutil.rmtree(folder, ignore_errors=True)
    # torch is loaded only where there is something to convert.
    from twostage.sampling import import_released as transformers
    from twostage.tokenizers import import_released as tokenizers

    if entry.kind == "transformer":
        transformers.convert(files.config, files.checkpoint, folder)
    else:
        tokenizers.convert(files.config, files.checkpoint, folder / "tokenizer")
    write_json(record, files.sha256)
    return folder


def _measured(entry: Released, folder: Path, protocol: tuple[str, ...], num_samples: int) -> dict[str, Any]:
    measured = _of(protocol, "scale", "data", "evaluation")
    rfid = prompt.asked("evaluation.rfid", (*measured, f"tokenizer={folder / 'tokenizer'}"))
    metrics = read_json(run.make(rfid) / "metrics.json")
    real = metrics["protocol"]["real"]
    found = {
        "scale": metrics["scale"],
        "pictures": real["data"],
        "pictures_sha256": real["split_content_sha256"],
        "rfid": metrics["rfid"],
        "rfid_images": metrics["protocol"]["reconstructions"]["images"],
        "why": "",
    }
    if entry.kind == "tokenizer" or not num_samples:
        return found
    if entry.condition not in DRAWN:
        return found | {"why": f"samples of {entry.condition} are not measured: twostage sample --model {entry.name}"}
    # Labels of another dataset, which a network could make, are not those of the model.
    if entry.condition == "segmentation" and "segmentation" not in compose(measured)["data"]["maps"]:
        return found | {"why": "samples need the label maps: 'data.maps=[segmentation]' data.num_labels=N"}
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
    if entry.condition is not None:
        given = {**drawn.job.inputs, "condition": _codes(entry, folder, protocol)}
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


def _codes(entry: Released, folder: Path, protocol: tuple[str, ...]) -> str:
    """The folder of the codes that condition the samples: all classes, or the maps of the pictures, encoded."""
    if entry.condition == "class":
        return str((folder / "condition").resolve())
    read = ("latents.train_images=1", "latents.validation_images=null")
    tokenizer = f"tokenizer={folder / 'condition_tokenizer'}"
    return str(run.make(prompt.asked("latents.encode", (*_of(protocol, "scale", "data"), *read, tokenizer))))


def _page(rows: Sequence[dict[str, Any]]) -> str:
    cells = [
        {
            "checkpoint": f"[{row['name']}]({row['page']})",
            "dataset": row["dataset"] + (f", {row['condition']}" if row["condition"] else ""),
            "printed": row["printed"],
            "pictures": row["pictures"],
            "rFID": f"{float(row['rfid']):.2f} ({row['rfid_images']} images)" if row["rfid"] != "" else "",
            "FID": f"{float(row['fid']):.2f} ({row['fid_samples']} samples)" if row["fid"] != "" else "",
            "why empty": row["why"],
        }
        for row in rows
    ]
    lines = [
        "# The released checkpoints",
        "",
        "What the authors of Taming Transformers released and the numbers that they print, beside ours on the pictures",
        "of a folder (`twostage released`). Our rFID is of pictures and their own reconstructions. It compares with",
        "what is printed against the validation split, if the folder holds that. An rFID against the training split",
        f"sets reconstructions beside other pictures. Licence: {LICENCE}. The authors",
        "give no checksums, and SUNDAE's authors released no checkpoint.",
        "",
        str(pd.DataFrame(cells).to_markdown(index=False, disable_numparse=True)),
    ]
    return "\n".join(lines) + "\n"
