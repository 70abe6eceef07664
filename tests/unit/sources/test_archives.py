import io
import subprocess
import tarfile
import zipfile

import pytest

from twostage.errors import TwostageError
from twostage.sources.archives import extract


def make_tar(path, names, links=()):
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
        for name, target, kind in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            tar.addfile(entry)
    return path


def make_zip(path, names):
    with zipfile.ZipFile(path, "w") as whole:
        for name in names:
            whole.writestr(name, name)
    return path


def make_deb(path, content):
    tree = path.parent / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: small\nVersion: 1\nArchitecture: all\nDescription: small\n"
        "Maintainer: nobody <nobody@nowhere.invalid>\n"
    )
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share/wanted").write_bytes(content)
    (tree / "usr/share/zzz").write_bytes(b"z" * 3_000_000)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(tree), str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_only_what_is_asked_for_is_written(tmp_path, make):
    archive = make(tmp_path / ("a.whl" if make is make_zip else "a.tgz"), ["package/wanted", "package/other"])
    out = tmp_path / "out"
    out.mkdir()
    extract(archive, {"package/wanted": out / "mine"})
    assert (out / "mine").read_text() == "package/wanted"
    assert len(list(out.iterdir())) == 1


def test_a_deb_is_read_without_installing_it(tmp_path):
    archive = make_deb(tmp_path / "small_1_all.deb", b"content")
    extract(archive, {"usr/share/wanted": tmp_path / "mine"})
    assert (tmp_path / "mine").read_bytes() == b"content"


def test_a_damaged_deb_is_named(tmp_path, capfd):
    archive = make_deb(tmp_path / "small_1_all.deb", b"content")
    archive.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(TwostageError, match=r"small_1_all\.deb"):
        extract(archive, {"usr/share/wanted": tmp_path / "mine"})


@pytest.mark.parametrize("evil", ["../evil", "package/../../evil", "/tmp/evil", "..\\evil"])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_an_archive_that_leads_out_is_refused(tmp_path, make, evil):
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = make(inner / ("a.zip" if make is make_zip else "a.tgz"), [evil, "wanted"])
    with pytest.raises(TwostageError, match="leads out of its folder"):
        extract(archive, {"wanted": inner / "mine"})
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert [path.name for path in inner.iterdir()] == [archive.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_file_is_refused(tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    archive = make_tar(tmp_path / "a.tgz", [], [("wanted", str(secret), kind)])
    with pytest.raises(TwostageError, match="not a regular file"):
        extract(archive, {"wanted": tmp_path / "mine"})
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_lacking_member_is_named(tmp_path, make):
    archive = make(tmp_path / ("a.zip" if make is make_zip else "a.tgz"), ["other"])
    with pytest.raises(TwostageError, match=r"lacks wanted"):
        extract(archive, {"wanted": tmp_path / "mine"})


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_truncated_archive_is_named(tmp_path, make):
    archive = make(tmp_path / ("a.zip" if make is make_zip else "a.tgz"), [f"file{i}" for i in range(200)])
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(TwostageError, match=rf"{archive.name} is damaged"):
        extract(archive, {"file199": tmp_path / "mine"})
