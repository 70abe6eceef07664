"""Both rivals of every row have the same number of parameters, within 5 %, at every scale."""

from pathlib import Path

import pytest
import torch

from tests.unit.conftest import rows_of_table1
from twostage.config import composition
from twostage.config.composition import parse
from twostage.config.schema import PriorConfig
from twostage.latents.dataset import TokenSpace
from twostage.planning.whole import plan_of
from twostage.priors.model import build, num_parameters

ROOT = Path(__file__).parents[3]


def space(plan, latents_folder, condition=None):
    latents = plan.jobs[latents_folder]
    tokenizer = plan.jobs[latents.inputs["tokenizer"]].config
    side = plan.jobs[latents.inputs["data"]].config["size"] // 2 ** tokenizer["num_downsamplings"]
    return TokenSpace(tokenizer["quantizer"]["num_codes"], (side, side), condition)


def parameters(plan, job):
    condition = space(plan, job.inputs["condition"]) if "condition" in job.inputs else None
    with torch.device("meta"):
        return num_parameters(build(parse(PriorConfig, job.config), space(plan, job.inputs["latents"], condition)))


@pytest.mark.parametrize("scale", ["smoke", "laptop", "night", "workstation", "paper"])
@pytest.mark.parametrize("study", ["table1", "crossing"])
def test_pixelsnail_matches_the_transformer_in_every_row(monkeypatch, study, scale):
    monkeypatch.setattr(composition, "CONF", ROOT / "conf")
    plan = plan_of(study, scale)
    rows = [job for job in plan.jobs.values() if job.verb == "compare"]
    assert len(rows) == (rows_of_table1(scale) if study == "table1" else 2 if scale == "paper" else 4)
    for row in rows:
        sizes = {name: parameters(plan, plan.jobs[row.inputs[f"{name}.seed0"]]) for name in ("gpt", "pixelsnail")}
        assert sizes["pixelsnail"] == pytest.approx(sizes["gpt"], rel=0.05), row.variant
