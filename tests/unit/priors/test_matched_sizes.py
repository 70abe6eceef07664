"""Both priors of a pair have the same number of parameters, within 5 %, at every scale."""

from pathlib import Path

import pytest
import torch

from twostage.configs import PriorConfig, compose, parse
from twostage.latents.dataset import TokenSpace
from twostage.priors.model import build, num_parameters

ROOT = Path(__file__).parents[3]
SCALES = sorted(path.stem for path in (ROOT / "conf/scale").glob("*.yaml"))


def parameters(monkeypatch, architecture, scale, conditional):
    monkeypatch.chdir(ROOT)
    tree = compose((f"scale={scale}", f"priors={architecture}"))
    num_codes = tree["tokenizers"]["quantizer"]["num_codes"]
    side = tree["data"]["size"] // 2 ** tree["tokenizers"]["num_downsamplings"]
    condition = TokenSpace(num_codes, (side, side)) if conditional else None
    with torch.device("meta"):
        model = build(parse(PriorConfig, tree["priors"]), TokenSpace(num_codes, (side, side), condition))
    return num_parameters(model)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_pixelsnail_matches_the_transformer(monkeypatch, scale, conditional):
    gpt = parameters(monkeypatch, "gpt", scale, conditional)
    assert parameters(monkeypatch, "pixelsnail", scale, conditional) == pytest.approx(gpt, rel=0.05)
