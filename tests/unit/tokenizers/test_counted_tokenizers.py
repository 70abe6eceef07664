"""What really runs when a tokenizer trains and is read back is code that its jobs count."""

from dataclasses import asdict

from tests.unit.conftest import executed
from twostage import tokenizers
from twostage.planning.choices import choices_of
from twostage.runtime.fingerprint import fingerprint
from twostage.runtime.job import Job
from twostage.tokenizers.train import train

from .conftest import small_config


def test_all_that_runs_is_counted(data_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small_config()
    job = Job("tokenizers", "train", "t", "smoke", asdict(config), {"data": str(data_folder)}, str(tmp_path / "t"), [])
    choices = choices_of(job.config)
    ran = executed(train, config, job)
    assert {"tokenizers.train:train", "tokenizers.quantizer:Quantizer", "runtime.training:Loop"} <= ran
    assert ran <= set(fingerprint("tokenizers.train", choices))
    assert executed(tokenizers.load, job.folder) <= set(fingerprint("latents.encode", choices))
