"""The README says what the committed results say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["table1.md", "orderings.md"])
def test_the_readme_shows_the_committed_table(name):
    for line in (ROOT / "results" / name).read_text().splitlines():
        assert line in README, f"README.md lacks this line of results/{name}: {line}"


def test_every_local_link_leads_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
