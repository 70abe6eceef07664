"""README.md and docs/ say what the committed results say, and their links lead somewhere."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!http)([^)]+)\)")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("name", ["table1.md", "orderings.md"])
def test_the_results_page_shows_the_committed_table(name):
    shown = (ROOT / "docs/results.md").read_text().splitlines()
    assert set((ROOT / "results" / name).read_text().splitlines()) - set(shown) == set()


def test_every_number_of_the_readme_is_one_of_the_committed_table():
    """Decimals and percentages of a study's row; whole numbers are counts and settings."""
    rows = re.findall(r"^\| \[([\w/]+)\]\(results/\1\.md\) \| (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) > 20
    for study, row in rows:
        table = (ROOT / f"results/{study}.md").read_text()
        for number in re.findall(r"\d+\.\d+|\d+ %", row):
            # A setting such as a proportion of 0.2 stands in the table, too.
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", table), f"{study}: {number}"


def test_the_readme_counts_the_verdicts_of_the_board():
    with open(ROOT / "results/claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    verdicts = Counter(row["verdict"] for row in rows)
    said = " ".join((ROOT / "README.md").read_text().split())
    decided = {name: verdicts[name] for name in ("reproduced", "direction only", "not reproduced", "inconclusive")}
    assert f"compares all {verdicts.total()} claims of both papers" in said
    counts = ", ".join(f"{count} {name}" for name, count in decided.items())
    assert f"{sum(decided.values())} are decided: {counts}." in said
    looks = sum(row["first_look"] != "" for row in rows)
    assert f"Of {looks} claims that need a larger scale there is a first look" in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_local_link_leads_somewhere(page):
    for link in LINK.findall(page.read_text()):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if heading:
            assert heading in anchors(target.read_text()), link


def test_every_page_is_listed():
    pages = {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"}
    for index, folder in ((ROOT / "README.md", "docs/"), (ROOT / "docs/README.md", "")):
        linked = set(LINK.findall(index.read_text()))
        assert {f"{folder}{page}" for page in pages} <= linked


def anchors(text):
    """The names by which a link finds headings: small letters, no signs, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
