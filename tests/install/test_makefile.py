"""What make does before there is an environment."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.install.lock import ROOT


@pytest.fixture
def clone(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(clone, *arguments, path=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment |= {"PATH": path} if path else {}
    return subprocess.run(["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=False)


def test_bare_make_lists_every_target_with_its_help_and_starts_nothing(clone):
    before = sorted(path.name for path in clone.iterdir())
    done = make(clone)
    assert done.returncode == 0
    assert sorted(path.name for path in clone.iterdir()) == before
    [phony] = re.findall(r"^\.PHONY: (.*help.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    listed = dict(re.findall(r"^make (\S+) +(\S.*)$", done.stdout, flags=re.MULTILINE))
    assert set(phony.split()) <= set(listed)


def interpreter(folder, name, version):
    """A python3 that says it is `version` and can do nothing else."""
    path = folder / name
    path.write_text(
        f'#!{sys.executable}\nimport sys\nif "--version" in sys.argv:\n    print("Python {version}")\n    sys.exit()\n'
        f"sys.version_info = {tuple(map(int, version.split('.')))}\nexec(sys.argv[2])\n"
    )
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path_factory):
    """A folder for PATH with what a bare machine has, and no Python."""
    folder = tmp_path_factory.mktemp("tools")
    for name in ("make", "bash", "sed", "cat", "awk", "rm", "sh"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


@pytest.mark.parametrize("version", ["3.9.18", "3.10.13", "3.14.0", "4.0.0"])
def test_a_python_that_is_not_tested_is_refused_by_its_version(clone, tools, version):
    interpreter(tools, "python3", version)
    done = make(clone, "install", path=str(tools))
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert version in line
    assert "PYTHON=" in line
    assert not (clone / ".venv").exists()


def test_without_any_python_make_says_which_are_needed(clone, tools):
    done = make(clone, "install", path=str(tools))
    assert done.returncode != 0
    assert re.search(r"^error: .*3\.11.*3\.13", done.stderr, flags=re.MULTILINE)


@pytest.mark.parametrize("version", ["3.11.0", "3.12.7", "3.13.1"])
def test_a_tested_python_is_found_beside_one_that_is_not(clone, tools, version):
    interpreter(tools, "python3", "3.14.0")
    interpreter(tools, f"python{version.rpartition('.')[0]}", version)
    done = make(clone, "install", "--dry-run", path=str(tools))
    assert f'"python{version.rpartition(".")[0]}" -m venv' in done.stdout
