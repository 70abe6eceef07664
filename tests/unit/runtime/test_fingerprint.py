import pytest

from twostage.runtime import fingerprint as module
from twostage.runtime.fingerprint import fingerprint


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    (tmp_path / "priors").mkdir()
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "priors/__init__.py").write_text("")
    (tmp_path / "priors/train.py").write_text("from twostage import training\nfrom twostage.priors import gpt\n")
    (tmp_path / "priors/gpt.py").write_text('"""Doc."""\ndef loss(x):\n    """Doc."""\n    return x\n')
    (tmp_path / "training.py").write_text("import os\n")
    (tmp_path / "figures.py").write_text("colour = 1\n")

    def rewrite(name, text):
        (tmp_path / name).write_text(text)
        module._read.cache_clear()

    module._read.cache_clear()
    yield rewrite
    module._read.cache_clear()


def test_follows_imports_within_the_package_only(package):
    modules = {
        "twostage",
        "twostage.priors",
        "twostage.priors.train",
        "twostage.priors.gpt",
        "twostage.runtime.training",
    }
    assert set(fingerprint("priors.train")) == modules


def test_a_comment_or_docstring_changes_nothing(package):
    before = fingerprint("priors.train")
    package("priors/gpt.py", '"""Other."""\ndef loss(x):\n    """Other."""\n    # why\n    return x\n')
    assert fingerprint("priors.train") == before


def test_changed_code_changes_the_fingerprint(package):
    before = fingerprint("priors.train")
    package("priors/gpt.py", "def loss(x):\n    return 2 * x\n")
    after = fingerprint("priors.train")
    assert [name for name in after if after[name] != before[name]] == ["twostage.priors.gpt"]


def test_code_that_is_not_imported_does_not_count(package):
    before = fingerprint("priors.train")
    package("figures.py", "colour = 2\n")
    assert fingerprint("priors.train") == before


def test_an_unknown_verb_is_named(package):
    with pytest.raises(FileNotFoundError, match=r"twostage\.priors\.fly"):
        fingerprint("priors.fly")


def test_every_python_gives_the_same_hash(package):
    """The hash was taken under Python 3.11; what 3.12 and 3.13 write otherwise stands in this code."""
    package("priors/gpt.py", "class Prior:\n    def show(self, x, form):\n        pass\n        return f'{x:{form}}'\n")
    assert fingerprint("priors.train")["twostage.priors.gpt"] == (
        "2f2b2a38479f734e4b07f0b3ec0742862222dc92c3c7e5865873524435649d5d"
    )
