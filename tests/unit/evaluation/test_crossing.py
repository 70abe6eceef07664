import numpy as np
import pytest

from tests.unit.evaluation.conftest import job
from twostage.evaluation.crossing import CrossingConfig, PowerLaw, ahead_from, crossing, crossing_of
from twostage.runtime.artifacts import read_json, write_json

SHARE_P = np.linspace(0.1, 1, 10)
COST = {
    "gpt": {"seconds_per_step": 0.1, "gflops_per_step": 10.0, "num_parameters": 100},
    "pixelsnail": {"seconds_per_step": 0.2, "gflops_per_step": 10.0, "num_parameters": 100},
}


def compared(folder, gpt, pixelsnail, gpt_steps=200):
    """A row whose runs follow two laws: PixelSNAIL's of 100 steps, with nothing between seeds."""
    curves = {}
    for name, law, end in (("gpt", gpt, gpt_steps), ("pixelsnail", pixelsnail, 100)):
        step = np.arange(10, end + 1, 10)
        nll = law.at(step / 100)
        for seed in (0, 1):
            curves[f"{name}.seed{seed}"] = {"step": [0, *step.tolist()], "nll": [7.0, *nll.tolist()]}
    row = {"row": "8x8-small", "data": "cifar10", "seeds": [0, 1], "steps": 100, "unigram_entropy_nats": 6.0}
    write_json(folder / "metrics.json", row | {"curves": curves, "cost": COST})
    write_json(folder / "metadata.json", {"grid": [8, 8]})


def crossed(tmp_path, *laws, **more):
    compared(tmp_path / "row", *laws, **more)
    made = job(tmp_path, "crossing", "out", **{"8x8-small": "row", "8x8-small.latents": "row"})
    crossing(CrossingConfig(["8x8-small"]), made)
    return read_json(made.folder / "metrics.json")["rows"][0]


@pytest.mark.parametrize("law", [PowerLaw(4.0, 1.0, 0.5), PowerLaw(0.5, 3.0, 0.1), PowerLaw(5.0, 0.1, 2.0)])
def test_the_law_behind_points_is_found(law):
    found = PowerLaw.of(SHARE_P, law.at(SHARE_P))
    assert found.at(SHARE_P) == pytest.approx(law.at(SHARE_P), abs=5e-3)
    assert found.power == pytest.approx(law.power, rel=0.06)


@pytest.mark.parametrize("nll_P", [np.linspace(4, 5, 10), np.full(10, 3.0)])
def test_a_curve_that_does_not_fall_has_a_flat_law(nll_P):
    assert PowerLaw.of(SHARE_P, nll_P).at(np.array([0.5, 100])) == pytest.approx(nll_P.mean(), abs=1e-9)


def test_points_at_one_budget_have_a_flat_law():
    assert PowerLaw.of(np.full(3, 0.5), np.array([4.0, 5.0, 6.0])).at(np.array([0.5, 9.0])) == pytest.approx(5)


def test_no_law_falls_below_zero():
    law = PowerLaw.of(SHARE_P, 2 - 1.9 * SHARE_P)
    assert law.floor >= 0
    assert law.at(np.array([1e9]))[0] >= 0


@pytest.mark.parametrize(
    ("gap_P", "expected"),
    [([1, -1, -1], 20.0), ([-1, 1, -1], 30.0), ([-1, -1, 1], None), ([-1, -1, -1], 10.0), ([1, 1, 0], None)],
)
def test_ahead_is_who_stays_ahead(gap_P, expected):
    assert ahead_from(np.array([10.0, 20.0, 30.0]), np.array(gap_P)) == expected


def test_laws_cross_where_they_are_equal_in_the_unit_of_both_ends():
    laws = {"gpt": PowerLaw(4.0, 1.0, 1.0), "pixelsnail": PowerLaw(4.5, 0.0, 1.0)}
    # 4 + 1 / share = 4.5 at twice the GPT's own end.
    assert crossing_of(laws, {"gpt": 100.0, "pixelsnail": 100.0}) == pytest.approx(200, rel=0.02)
    assert crossing_of(laws, {"gpt": 300.0, "pixelsnail": 100.0}) == pytest.approx(600, rel=0.02)
    assert crossing_of(dict(zip(laws, reversed(laws.values()), strict=True)), {"gpt": 1.0, "pixelsnail": 1.0}) is None


def test_a_row_tells_the_gap_in_every_unit_and_where_the_laws_cross(tmp_path):
    # At step s: 4 + 100 / s against 5 + 25 / s, equal at step 75.
    row = crossed(tmp_path, PowerLaw(4.0, 1.0, 1.0), PowerLaw(5.0, 0.25, 1.0))
    steps, seconds = row["gaps"]["steps"], row["gaps"]["seconds"]
    assert steps["budget"] == [10.0 * at for at in range(1, 11)]
    assert steps["per_seed"]["0"][0] == pytest.approx(14 - 7.5)
    assert steps["at_end"]["mean"] == pytest.approx(-0.25)
    assert steps["ahead_from"] == 80
    # A second buys ten steps of the GPT and five of PixelSNAIL: 4 + 10 / t against 5 + 5 / t.
    assert seconds["budget"][-1] == pytest.approx(20)
    assert seconds["at_end"]["mean"] == pytest.approx(-0.75)
    assert seconds["ahead_from"] == pytest.approx(6)
    assert row["laws"]["gpt"]["missed"] == pytest.approx(0, abs=0.02)
    assert row["gaps"]["gflops"]["at_end"]["mean"] == pytest.approx(-0.25)


def test_a_crossing_beyond_the_runs_has_an_interval_and_its_share_of_draws(tmp_path):
    # Equal at 1.5 times PixelSNAIL's steps.
    row = crossed(tmp_path, PowerLaw(4.0, 1.8, 1.0), PowerLaw(5.0, 0.3, 1.0), gpt_steps=100)
    found = row["gaps"]["steps"]
    assert found["ahead_from"] is None
    assert found["extrapolated"]["from"] == pytest.approx(150, rel=0.05)
    assert found["extrapolated"]["low"] <= found["extrapolated"]["from"] <= found["extrapolated"]["high"]
    assert found["extrapolated"]["share_of_draws"] == 1


def test_who_never_leads_has_no_crossing(tmp_path):
    row = crossed(tmp_path, PowerLaw(5.0, 1.0, 1.0), PowerLaw(4.0, 1.0, 1.0))
    assert row["gaps"]["steps"]["extrapolated"] == {"from": None, "share_of_draws": 0.0, "low": None, "high": None}


def test_beyond_the_end_of_the_transformer_nothing_is_compared(tmp_path):
    row = crossed(tmp_path, PowerLaw(4.0, 1.0, 1.0), PowerLaw(5.0, 0.25, 1.0), gpt_steps=100)
    # Its hundred steps take ten seconds, PixelSNAIL's twenty.
    assert row["gaps"]["seconds"]["budget"][-1] == pytest.approx(10)
    assert row["gaps"]["steps"]["budget"][-1] == 100
