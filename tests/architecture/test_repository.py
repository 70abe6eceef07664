"""What a public repository has beside its code: files that others' tools read."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
READ = [".github/workflows/ci.yml", ".pre-commit-config.yaml", ".snakemake-workflow-catalog.yml", "CITATION.cff"]
READ += [str(path.relative_to(ROOT)) for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))]


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("name", READ)
def test_it_is_yaml(name):
    assert read(name)


def test_ci_runs_what_every_change_must_pass_on_every_tested_python():
    job = read(".github/workflows/ci.yml")["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    said = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(said[1]), int(said[2]))]


def test_ci_builds_the_docs():
    steps = read(".github/workflows/ci.yml")["jobs"]["docs"]["steps"]
    assert any(step.get("run", "").startswith("make docs") for step in steps)


def test_every_hook_is_a_part_of_the_gate():
    """The commands of hooks are those of `make check`, so that a commit passes both or none."""
    [repository] = read(".pre-commit-config.yaml")["repos"]
    gate = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    for hook in repository["hooks"]:
        program, *words = shlex.split(hook["entry"])
        assert program.startswith(".venv/bin/")
        assert " ".join([program.removeprefix(".venv/bin/"), *words[:1]]).removesuffix(" --force-exclude") in gate


def test_the_hooks_are_valid():
    command = ["pre-commit", "validate-config", str(ROOT / ".pre-commit-config.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_issue_forms_have_what_github_asks_for():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name == "config.yml":
            continue
        assert {"name", "description", "body"} <= set(form)
        names = [part["id"] for part in form["body"]]
        assert len(names) == len(set(names))


def test_the_catalogue_finds_what_it_asks_for():
    for name in ("workflow/Snakefile", "config/README.md", "README.md", "LICENSE"):
        assert (ROOT / name).is_file(), name
    usage = read(".snakemake-workflow-catalog.yml")["usage"]
    assert {"mandatory-flags", "software-stack-deployment", "report"} <= set(usage)


def test_the_dockerfile_copies_what_there_is_and_builds_from_the_lock():
    text = (ROOT / "Dockerfile").read_text()
    assert "requirements.lock" in text
    assert "make install" in text
    for names in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for name in names.split():
            assert (ROOT / name).exists(), name
    # As the linters of Dockerfiles ask.
    assert "--no-install-recommends" in text
    assert "rm -rf /var/lib/apt/lists/*" in text
    assert not re.search(r"^FROM \S+:latest|^ADD ", text, re.MULTILINE)


def test_the_workflow_runs_in_what_the_dockerfile_builds():
    [image] = re.findall(r'^container: "(.+)"$', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    built = f"docker build -t twostage . && apptainer build {image} docker-daemon:twostage"
    assert built in (ROOT / "Snakefile").read_text()


def test_the_citation_names_both_papers_and_the_version():
    citation = read("CITATION.cff")
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
    titles = [paper["title"] for paper in citation["references"]]
    assert [title.split()[0] for title in titles] == ["Taming", "Megapixel"]
    assert all({"type", "authors", "year", "url"} <= set(paper) for paper in citation["references"])


def test_the_catalogues_workflow_is_ours():
    """Both Snakefiles have the same rules."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    listed = [
        subprocess.run(
            ["snakemake", "--snakefile", name, "--list-rules", "--config", "scale=smoke"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("Snakefile", "workflow/Snakefile")
    ]
    assert listed[0] == listed[1]
    assert "figures" in listed[0].split()
