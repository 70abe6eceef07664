"""The lock is complete: installed without resolving, nothing that anything requires is lacking."""

import functools
import importlib.metadata
import tomllib
from collections.abc import Iterator

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.install.lock import ROOT, entries, locked

TESTED = ["3.11.0", "3.11.7", "3.12.0", "3.13.0"]
MACHINES = ["x86_64", "aarch64"]


def linux(python, machine):
    version = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    return dict(default_environment()) | version | {"platform_machine": machine, "sys_platform": "linux"}


def of_the_project() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [Requirement(line) for line in project["project"]["dependencies"] + project["dependency-groups"]["dev"]]


def requirements(found, environment) -> Iterator[tuple[str, Requirement]]:
    """(who requires, what), of the project and of each package of the lock with the extras asked of it, in turn."""
    waiting = [("pyproject.toml", needed) for needed in of_the_project() if holds(needed, environment)]
    waiting += [(f"the lock's {name}", Requirement(name)) for name in found]
    done = set()
    while waiting:
        by, wanted = waiting.pop()
        yield by, wanted
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras}:
            if (name, extra) not in done and name in found:
                done.add((name, extra))
                waiting += [(f"{name}[{extra}]", needed) for needed in required_by(found[name], extra, environment)]


def required_by(entry, extra, environment):
    # Where the lock has another version for another Python, this one's metadata are not at hand.
    if importlib.metadata.version(entry.name).split("+")[0] != entry.version:
        return
    for needed in lines_of(entry.name):
        if holds(needed, environment | {"extra": extra}):
            yield needed


def holds(requirement, environment):
    return requirement.marker is None or requirement.marker.evaluate(environment)


@functools.cache
def lines_of(name):
    return [Requirement(line) for line in importlib.metadata.requires(name) or []]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", TESTED)
def test_all_that_is_required_is_in_the_lock(python, machine):
    environment = linux(python, machine)
    found = locked(environment)
    lacking = [
        f"{by} requires {wanted}, the lock has {found[name].text if name in found else 'none'}"
        for by, wanted in requirements(found, environment)
        for name in [canonicalize_name(wanted.name)]
        if name not in found
        or not wanted.specifier.contains(found[name].version, prereleases=True)
        # pip that resolves would else look for the extra in the newest release.
        or not wanted.extras <= found[name].requirement.extras
    ]
    assert not lacking


def test_no_package_stands_twice_in_one_environment():
    for python in TESTED:
        names = [entry.name for entry in entries() if entry.holds(linux(python, "x86_64"))]
        assert len(names) == len(set(names))


def test_what_is_installed_is_what_the_lock_names():
    found = {name: importlib.metadata.version(name) for name in locked()}
    assert found == {name: entry.version for name, entry in locked().items()} | local_builds(found)


def local_builds(found):
    """Builds for the CPU are the lock's version with a local part: 2.14.1+cpu."""
    return {
        name: found[name] for name in ("torch", "torchvision") if found[name].split("+")[0] == locked()[name].version
    }
