"""What Snakemake's report says of a result: its category, its labels, and the parameters of its caption."""

import re
from pathlib import Path

from twostage.config.composition import study_file
from twostage.runtime.job import Job

# A reader of the report opens tables and pictures; .md, .tex and .pdf show the same, and git has them.
SHOWN = {".csv": "table", ".png": "figure", ".html": "page"}


def title(name: str, source: str) -> str:
    """Of a study: as its file `source` says, else by its name."""
    found = re.search(r"^title: (.+)$", source, re.MULTILINE)
    return found[1] if found else re.sub(r"(?<=[a-z])(?=\d)|_", " ", name).capitalize()


def caption_of(drawn: Job) -> dict[str, str]:
    """What the caption of a drawing tells: the study's title, its name and its file, empty if it has none."""
    path = Path(study_file(drawn.variant))
    source = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {"title": title(drawn.variant, source), "study": drawn.variant, "file": str(path) if source else ""}


def labels(path: str) -> dict[str, str]:
    """The labels of a result by its path: what it is, and the name of its file."""
    return {"result": SHOWN[Path(path).suffix], "file": Path(path).name}
