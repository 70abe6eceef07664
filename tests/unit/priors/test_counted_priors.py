"""What really runs when a prior trains and is read back is code that its job counts."""

import dataclasses

import pytest

from tests.unit.conftest import executed
from twostage import priors
from twostage.planning.choices import choices_of
from twostage.priors.train import train
from twostage.runtime.fingerprint import fingerprint
from twostage.runtime.job import Job

# One class or function that no other architecture runs.
OWN = {"gpt": "priors.gpt:GPT", "pixelsnail": "priors.pixelsnail:PixelSNAIL", "sundae": "priors.sundae:Sundae"}


@pytest.mark.parametrize("architecture", OWN)
def test_all_that_runs_is_counted(architecture, prior_config, latents, condition, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = prior_config(architecture, early_stopping=1)
    inputs = {"latents": str(latents), "condition": str(condition)}
    job = Job("priors", "train", "v", "smoke", dataclasses.asdict(config), inputs, str(tmp_path / "v"), [])
    choices = choices_of(job.config)
    ran, counted = executed(train, config, job), fingerprint("priors.train", choices)
    assert OWN[architecture] in ran
    assert ran <= set(counted)
    others = set(OWN.values()) - {OWN[architecture]}
    assert not others & set(counted)
    verb = "sampling.denoise" if architecture == "sundae" else "sampling.generate"
    assert executed(priors.load, job.folder) <= set(fingerprint(verb, choices))
