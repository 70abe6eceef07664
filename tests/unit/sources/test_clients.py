"""The clients against a web server of this process, and on a machine that lacks them."""

import functools
import hashlib
import http.server
import shutil
import stat
import threading

import pytest

from twostage.errors import TwostageError
from twostage.sources import clients
from twostage.sources.clients import UnreachableError, download
from twostage.sources.registry import Address, Package


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if self.path.endswith("/cut.bin"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"less than that")
        else:
            super().do_GET()


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_an_address_is_downloaded_under_its_name(site, out):
    folder, url = site
    (folder / "file.bin").write_bytes(b"content")
    assert download(Address(f"{url}/file.bin", "sha256:0"), out).read_bytes() == b"content"


@pytest.mark.parametrize(("name", "reason"), [("lacking.bin", "HTTP status 404"), ("cut.bin", "cut.bin")])
def test_an_address_that_fails_says_why(site, out, name, reason):
    with pytest.raises(UnreachableError, match=reason):
        download(Address(f"{site[1]}/{name}", "sha256:0"), out)


def test_a_closed_port_is_no_connection(out):
    with pytest.raises(UnreachableError, match=r"http://127.0.0.1:9/file \(no connection\)"):
        download(Address("http://127.0.0.1:9/file", "sha256:0"), out)


def test_a_certificate_that_is_not_trusted_is_told_from_no_connection(site, out):
    # The server speaks no TLS at all; to the client that is the same error as a certificate it cannot verify.
    with pytest.raises(UnreachableError, match=r"\(no secure connection; .* set REQUESTS_CA_BUNDLE\)"):
        download(Address(f"{site[1].replace('http', 'https')}/file.bin", "sha256:0"), out)


def serve_project(site, content, digest):
    folder, _ = site
    (folder / "small").mkdir()
    (folder / "small" / "small-1.0.tar.gz").write_bytes(content)
    link = f'<a href="small-1.0.tar.gz#sha256={digest}">small-1.0.tar.gz</a>'
    (folder / "small" / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")


SMALL = Package("pypi", "small", "1.0", "small-1.0.tar.gz", "sha256:0")


def test_a_python_package_is_found_by_its_name(site, out, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", site[1])
    serve_project(site, b"content", hashlib.sha256(b"content").hexdigest())
    assert download(SMALL, out).read_bytes() == b"content"


def test_a_python_package_with_another_digest_is_refused(site, out, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", site[1])
    serve_project(site, b"changed", hashlib.sha256(b"content").hexdigest())
    with pytest.raises(UnreachableError, match=r"pypi package small 1.0 \(.*digest"):
        download(SMALL, out)
    assert list(out.iterdir()) == []


def test_a_python_package_that_is_not_listed_is_named(site, out, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", site[1])
    with pytest.raises(UnreachableError, match=r"pypi package small 1\.0"):
        download(SMALL, out)
    serve_project(site, b"content", "0" * 64)
    with pytest.raises(UnreachableError, match=r"does not list small-2\.0"):
        download(Package("pypi", "small", "2.0", "small-2.0.tar.gz", "sha256:0"), out)


@pytest.mark.parametrize(("client", "command"), [("npm", "npm"), ("apt", "apt-get")])
def test_a_machine_without_the_client_is_told_so(out, monkeypatch, client, command):
    monkeypatch.setenv("PATH", str(out))
    with pytest.raises(UnreachableError, match=rf"no {command} on this machine"):
        download(Package(client, "small", "1.0", "small-1.0.tgz", "sha256:0"), out)


def test_an_unknown_client_is_an_error_of_the_registry(out):
    with pytest.raises(TwostageError, match="unknown client"):
        download(Package("conda", "small", "1.0", "small", "sha256:0"), out)


def fake_command(folder, name, script):
    path = folder / name
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_client_that_fails_is_quoted(tmp_path, out, monkeypatch):
    fake_command(tmp_path, "npm", "echo noise >&2; echo 'npm error no such version' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match=r"npm package small 1.0 \(npm error no such version\)"):
        download(Package("npm", "small", "1.0", "small-1.0.tgz", "sha256:0"), out)


def test_a_client_that_fails_in_silence_is_named(tmp_path, out, monkeypatch):
    fake_command(tmp_path, "apt-get", "exit 100")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match=r"apt package small 1.0 \(apt-get failed\)"):
        download(Package("apt", "small", "1.0", "small.deb", "sha256:0"), out)


def test_npm_is_told_to_run_no_scripts(tmp_path, out, monkeypatch):
    fake_command(tmp_path, "npm", 'printf "%s " "$@" > small-1.0.tgz')
    monkeypatch.setenv("PATH", str(tmp_path))
    words = download(Package("npm", "small", "1.0", "small-1.0.tgz", "sha256:0"), out).read_text().split()
    assert words[:3] == ["pack", "small@1.0", "--ignore-scripts"]


def test_apt_uses_a_private_list_and_nothing_of_the_system(tmp_path, out, monkeypatch):
    fake_command(tmp_path, "apt-get", 'case "$*" in *download*) echo "$*" > small_1%3a0_all.deb;; esac')
    monkeypatch.setenv("PATH", str(tmp_path))
    path = download(Package("apt", "small", "1:0", "small_1:0_all.deb", "sha256:0"), out)
    assert path.name == "small_1:0_all.deb"
    words = path.read_text()
    assert f"Dir::State={out}/apt/state" in words
    assert words.strip().endswith("download small=1:0")


def test_a_client_that_hangs_is_given_up(tmp_path, out, monkeypatch):
    def expire(command, **options):
        raise clients.subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(clients.subprocess, "run", expire)
    with pytest.raises(UnreachableError, match="did not finish"):
        download(Package("npm", "small", "1.0", "small-1.0.tgz", "sha256:0"), out)
