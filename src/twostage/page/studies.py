"""The studies of a results/ folder: tables, figures, samples, study file and record of each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from twostage.config.composition import CONF
from twostage.config.yaml_files import parsed_yaml
from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES
from twostage.latents.orderings import ORDERS, ordering
from twostage.page.galleries import Film, Gallery, Slider, films, galleries, inpaintings, reconstructions
from twostage.page.pictures import Picture, drawing
from twostage.planning.results import read_mapping, read_table_record
from twostage.rules.captions import title

# No study file, but a table and figures of its own: every tokenizer that a study trained.
TOKENIZERS = "tokenizers"
RECORD = ".provenance.json"
# What the page shows of a record, and of those that it rests on.
BEHIND = ("job", "commit", "config_sha256", "cpu_seconds")
NEEDED = (
    *BEHIND, "scale", "uncommitted_changes", "code_sha256", "device", "python", "versions", "finished", "files_sha256",
    "rests_on", "total",
)  # fmt: skip


@dataclass(frozen=True)
class Study:
    """What results/ holds of one study."""

    name: str
    title: str
    tables: Markup
    figures: list[Picture]
    galleries: list[Gallery]
    sliders: list[Slider]
    films: list[Film]
    paths: dict[str, list[int]]  # ordering -> row-major positions of the tokens, in their order
    grid: tuple[int, int]  # rows and columns of these paths
    source: str  # the study file; empty where conf/study has none
    files: list[str]  # beside the page
    record: dict[str, Any]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The records of all jobs behind the study, its own last."""
        return [*self.record["rests_on"].values(), self.record]


def studies(results: Path, first: list[str]) -> list[Study]:
    """Every study with a table in `results`, those of `first` before the others.

    A table without its record is none of a study. Raises TwostageError, one line, if there is no other.
    """
    names = {path.name.removesuffix(RECORD) for path in results.glob(f"*{RECORD}")}
    tables = sorted(name for name in names if (results / f"{name}.csv").is_file())
    if not tables:
        raise TwostageError(f"{results} holds no table with its record; make them: snakemake --cores all figures")
    order = [name for name in first if name in tables]
    return [_study(results, name) for name in (*order, *(name for name in tables if name not in order))]


def _study(results: Path, name: str) -> Study:
    record = read_table_record(results / f"{name}{RECORD}", NEEDED, BEHIND)
    path = CONF / "study" / f"{name}.yaml"
    source = path.read_text() if path.is_file() else ""
    made = [file for file in record["files_sha256"] if (results / _place(file)).is_file()]
    files = sorted({*made, *(path.name for path in results.glob(f"{name}_*.csv")), f"{name}{RECORD}"})
    decoded = list(_tokenizers(record))
    strips = galleries(results, name, decoded)
    # The strips themselves are sharper than a figure of them.
    drawn = [file for file in files if file.endswith(".png") and not (strips and file.endswith("_samples.png"))]
    paths, grid = _paths(results, name)
    said = title(name, source)
    return Study(
        name=name,
        title=said,
        tables=_tables(results, name),
        figures=[drawing(results / _place(file), _caption(file, name, said, source)) for file in drawn],
        galleries=strips,
        sliders=list(_sliders(results, name, record)),
        films=films(results, name),
        paths=paths,
        grid=grid,
        source=source,
        files=[_place(file) for file in files],
        record=record,
    )


def _place(file: str) -> str:
    return f"figures/{file}" if file.endswith((".pdf", ".png")) else file


def _caption(file: str, name: str, study: str, source: str) -> str:
    """What a figure shows: its panels, where the study file lists them."""
    listed = (parsed_yaml(source, f"conf/study/{name}.yaml") or {}).get("figures", []) if file == f"{name}.png" else []
    panels = [f"{QUANTITIES[each['y']].label} ({each['kind']})" for each in listed if each.get("y") in QUANTITIES]
    said = ", ".join(panels) or file.removesuffix(".png").removeprefix(f"{name}_").replace("_", " ")
    return study if said == study.lower() else f"{study}: {said}"


def _tokenizers(record: dict[str, Any]) -> Iterator[str]:
    """The tokenizers that samples of a study went through, by the names of its jobs."""
    sampled = [name.split(" ")[1] for name in record["rests_on"] if name.startswith("sampling.")]
    for name in record["rests_on"]:
        verb, variant = name.split(" ")
        through = re.compile(rf"(^|\.by_){re.escape(variant)}\.")
        if verb.startswith("tokenizers.") and any(map(through.search, sampled)):
            yield variant


def _sliders(results: Path, name: str, record: dict[str, Any]) -> Iterator[Slider]:
    yield from inpaintings(results, name)
    if name == TOKENIZERS:
        names = [job.split(" ")[1] for job in record["rests_on"] if job.startswith("evaluation.reconstruct ")]
        yield from (slider for variant in names if (slider := reconstructions(results, variant)))


def _paths(results: Path, name: str) -> tuple[dict[str, list[int]], tuple[int, int]]:
    """The orders that a study compares, on the grid of its latents where their functions are here, else as stored."""
    path = results / "evaluation" / name / "metrics.json"
    metrics = read_mapping(path) if path.is_file() else {}
    stored: dict[str, list[int]] = metrics.get("orders", {})
    if not stored:
        return {}, (0, 0)
    grids = [row["grid"] for row in metrics["rows"].values() if "grid" in row]
    if grids and set(stored) <= set(ORDERS):
        height, width = grids[0]
        return {word: ordering(word, height, width).tolist() for word in stored}, (height, width)
    side = round(len(next(iter(stored.values()))) ** 0.5)
    return stored, (side, side)


def _tables(results: Path, name: str) -> Markup:
    """The rendered tables with their captions; of a study without any, its numbers."""
    path = results / f"{name}.md"
    if path.is_file():
        html = MarkdownIt("commonmark", {"html": False}).enable("table").render(path.read_text())
    else:
        numbers = pd.read_csv(results / f"{name}.csv")
        html = numbers.to_html(index=False, border=0, na_rep="", float_format=lambda number: f"{number:.4g}")
    # What is wider than the window scrolls in a box of its own, which the keyboard reaches.
    box = f'<div class="wide" role="region" tabindex="0" aria-label="Table of {name}"><table'
    return Markup(html.replace("<table", box).replace("</table>", "</table></div>"))
