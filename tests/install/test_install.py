"""`make install` itself, from an index in a folder: stubs of all packages of the lock, and a newer release of each."""

import hashlib
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.install.lock import ROOT, locked

# Published without a wheel: pip builds them, with which setuptools is the question.
BUILT = ("antlr4-python3-runtime", "connection-pool")
NEWEST = "9999"
CUDA = re.compile(r"nvidia-|cuda-|triton\b")


def metadata(name, version, requires):
    lines = [line for line in requires if line.startswith(("Requires-Dist", "Provides-Extra"))]
    return "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])


def real_lines(name):
    return importlib.metadata.distribution(name).read_text("METADATA").split("\n\n")[0].splitlines()


def add_wheel(index, name, version, requires=()):
    stem = f"{name.replace('-', '_')}-{version}"
    folder = f"{stem}.dist-info"
    with zipfile.ZipFile(page(index, name) / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{folder}/METADATA", metadata(name, version, requires))
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")


def add_setuptools(index, version):
    """The real one, packed again from what is installed here."""
    path = page(index, "setuptools") / f"setuptools-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in importlib.metadata.files("setuptools"):
            if ".." not in file.parts and file.suffix != ".pyc" and file.name not in ("INSTALLER", "REQUESTED"):
                wheel.write(file.locate(), str(file))


def add_source(index, name, version):
    stem = f"{name}-{version}"
    files = {
        "setup.py": f"from setuptools import setup\nsetup(name={name!r}, version={version!r}, py_modules=[])\n",
        "PKG-INFO": metadata(name, version, ()),
    }
    with tarfile.open(page(index, name) / f"{stem}.tar.gz", "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{stem}/{file}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def page(index, name):
    folder = index / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def list_pages(index):
    for folder in index.iterdir():
        links = [f'<a href="{path.name}">{path.name}</a>' for path in folder.iterdir()]
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """What each package of the lock requires is what the real one requires. The newer setuptools is empty."""
    index = tmp_path_factory.mktemp("index")
    for name, entry in locked().items():
        if name == "setuptools":
            add_setuptools(index, entry.version)
        elif name in BUILT:
            add_source(index, name, entry.version)
        else:
            add_wheel(index, name, entry.version, real_lines(name))
        add_wheel(index, name, NEWEST)
    list_pages(index)
    return index


@pytest.fixture(scope="module")
def cpu_index(tmp_path_factory):
    """torch and torchvision as built for the CPU: the lock's version, other content, no CUDA required."""
    index = tmp_path_factory.mktemp("cpu_index")
    for name in ("torch", "torchvision"):
        lines = [line for line in real_lines(name) if not CUDA.match(line.removeprefix("Requires-Dist: "))]
        add_wheel(index, name, f"{locked()[name].version}+cpu", lines)
    list_pages(index)
    return index


def closure(*names):
    """The packages of the lock that these require, extras left aside, and setuptools."""
    found, waiting = {"setuptools"}, list(names)
    while waiting:
        name = waiting.pop()
        if name in locked() and name not in found:
            found.add(name)
            required = (Requirement(line) for line in importlib.metadata.requires(name) or [])
            waiting += [canonicalize_name(needed.name) for needed in required if "extra ==" not in str(needed.marker)]
    return found


class Project:
    """A clone with the real Makefile, a lock of some packages, and nothing in it to run."""

    def __init__(self, folder, index, names, dependencies=()):
        self.folder, self.index, self.names = folder, index, names
        shutil.copy(ROOT / "Makefile", folder)
        package = f'[project]\nname = "twostage"\nversion = "0.1.0"\ndependencies = {list(dependencies)}\n'
        build = '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        (folder / "pyproject.toml").write_text(f"{build}{package}[tool.setuptools]\npackages = []\n")
        self.lock()

    def lock(self, wrong=()):
        """Writes the lock, without extras: the harder case. The hash of a package in `wrong` is another file's."""
        lines = []
        for name in sorted(self.names):
            entry = locked()[name]
            text = re.sub(r"\[.*?\]", "", entry.text)
            [path] = [path for path in (self.index / name).glob("*-*") if f"-{NEWEST}-" not in path.name]
            digest = "0" * 64 if name in wrong else hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{text} \\\n    --hash=sha256:{digest}\n")
        (self.folder / "requirements.lock").write_text("".join(lines))

    def make(self, *arguments, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE"))}
        clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index.as_uri(), "PIP_NO_CACHE_DIR": "1"}
        command = ["make", *arguments, f"PYTHON={sys.executable}"]
        return subprocess.run(
            command, cwd=self.folder, env=clean | environment, capture_output=True, text=True, check=False
        )

    @property
    def site(self):
        [folder] = (self.folder / ".venv/lib").glob("python3*/site-packages")
        return folder

    def installed(self):
        found = importlib.metadata.distributions(path=[str(self.site)])
        versions = {canonicalize_name(each.name): each.version for each in found}
        return {name: version for name, version in versions.items() if name not in ("pip", "twostage")}


def versions(names):
    return {name: locked()[name].version for name in names}


def test_newer_releases_move_nothing(tmp_path, index):
    project = Project(tmp_path, index, set(locked()), dependencies=["dvc[ssh]", "torch"])
    done = project.make("install")
    assert done.returncode == 0, done.stderr
    assert project.installed() == versions(locked())
    assert project.make("install", "--question").returncode == 0


@pytest.fixture
def small(tmp_path, index):
    folder = tmp_path / "a clone"
    folder.mkdir()
    return Project(folder, index, closure("sshfs", "connection-pool"), dependencies=["sshfs"])


def test_an_install_that_failed_is_begun_anew(small):
    small.lock(wrong=["asyncssh"])
    failed = small.make("install")
    assert failed.returncode != 0
    assert "asyncssh" in failed.stderr
    assert small.make("install", "--question").returncode == 1
    (small.site / "left_over.py").touch()
    small.lock()
    done = small.make("install")
    assert done.returncode == 0, done.stderr
    assert small.installed() == versions(small.names)
    assert not (small.site / "left_over.py").exists()


def test_what_the_lock_lacks_fails_the_install_by_name(small):
    small.names -= {"asyncssh"}
    small.lock()
    failed = small.make("install")
    assert failed.returncode != 0
    assert re.search(r"^error: .*asyncssh", failed.stderr, flags=re.MULTILINE)
    assert small.make("install", "--question").returncode == 1


def test_a_clone_that_was_moved_is_installed_again(small, tmp_path_factory):
    assert small.make("install").returncode == 0
    small.folder = small.folder.rename(tmp_path_factory.mktemp("elsewhere") / "clone")
    assert small.make("install", "--question").returncode == 1


def test_torch_for_the_cpu_comes_without_cuda_and_the_rest_keeps_its_hashes(tmp_path, index, cpu_index):
    names = closure("torch", "torchvision")
    cuda = {name for name in names if CUDA.match(name)}
    assert cuda
    project = Project(tmp_path, index, names, dependencies=["torch", "torchvision"])
    project.lock(wrong=["filelock"])
    failed = project.make("install", f"TORCH_INDEX={cpu_index.as_uri()}")
    assert failed.returncode != 0
    assert "filelock" in failed.stderr
    project.lock()
    done = project.make("install", f"TORCH_INDEX={cpu_index.as_uri()}")
    assert done.returncode == 0, done.stderr
    builds = {name: f"{locked()[name].version}+cpu" for name in ("torch", "torchvision")}
    assert project.installed() == versions(names - cuda) | builds
    # Once made, it serves every target, whether the variable is given again or not.
    assert project.make("install", "--question").returncode == 0
    assert project.make("install", "--question", f"TORCH_INDEX={cpu_index.as_uri()}").returncode == 0


def test_an_index_whose_torch_needs_cuda_is_refused(tmp_path, index):
    project = Project(tmp_path, index, closure("torch", "torchvision"), dependencies=["torch"])
    failed = project.make("install", f"TORCH_INDEX={index.as_uri()}")
    assert failed.returncode != 0
    assert re.search(r"^error: .*torch .*requires nvidia", failed.stderr, flags=re.MULTILINE)


def test_only_torch_needs_what_the_cpu_way_leaves_out():
    cuda = {name for name in locked() if CUDA.match(name)}
    for name in set(locked()) - cuda - {"torch"}:
        required = (Requirement(line) for line in importlib.metadata.requires(name) or [])
        always = [needed for needed in required if "extra" not in str(needed.marker)]
        assert not cuda & {canonicalize_name(needed.name) for needed in always}, name
