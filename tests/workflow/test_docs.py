"""The site of the documentation: it is built without a warning, its tutorial runs, and its reference is complete."""

import re
import resource
import subprocess
import sys

import pytest

from tests.clone import ROOT
from twostage.config.composition import groups
from twostage.config.reference import keys
from twostage.planning.verbs import VERBS

# Beside the tests of the other group, on the other core.
pytestmark = pytest.mark.xdist_group("documented")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, and the CPU seconds that it took."""
    folder = tmp_path_factory.mktemp("site")
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs", folder]
    fresh = ["--define", f"nb_execution_cache_path={folder}/notebooks"]
    result = subprocess.run([*command, *fresh], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return folder, ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def test_the_tutorial_runs_in_two_minutes(site):
    folder, cpu_seconds = site
    page = (folder / "tutorial.html").read_text()
    assert re.search(r"PSNR \d", page)
    assert len(re.findall(r'<img[^>]*src="_images/', page)) == 3
    assert cpu_seconds < 120


def test_the_reference_names_every_key_and_every_verb(site):
    folder, _ = site
    page = (folder / "generated/configuration.html").read_text()
    words = set(re.findall(r"<span class=\"pre\">([^<]+)</span>", page))
    typed = [key.name for group in groups() if group not in ("scale", "study") for key in keys(group)]
    assert len(typed) > 100
    assert [name for name in typed if name not in words] == []
    shown = (folder / "generated/commands.html").read_text()
    assert [verb for verb in VERBS if verb not in shown] == []


def test_the_api_is_documented(site):
    page = (site[0] / "generated/api.html").read_text()
    for name in ("load_tokenizer", "load_prior", "encode", "decode", "sample", "inpaint"):
        assert f'id="twostage.api.{name}"' in page


def test_every_link_within_the_site_leads_somewhere(site):
    folder, _ = site
    for page in folder.rglob("*.html"):
        for link in re.findall(r'href="([^"#:]+)["#]', page.read_text()):
            assert (page.parent / link.partition("?")[0]).exists(), f"{page.name}: {link}"
