import numpy as np
import pytest

from tests.unit.evaluation.conftest import job
from twostage.errors import TwostageError
from twostage.evaluation.crossing import POWERS, CrossingConfig, PowerLaw, ahead_from, change_of_lead, crossing
from twostage.runtime.artifacts import read_json, write_json

SHARE_P = np.linspace(0.1, 1, 10)
COST = {
    "gpt": {"seconds_per_step": 0.1, "gflops_per_step": 10.0},
    "pixelsnail": {"seconds_per_step": 0.2, "gflops_per_step": 10.0},
}


def compared(folder, gpt, pixelsnail, gpt_steps=200, every=10, noise=0.0, cost=COST):
    """A row whose runs follow two laws in shares of PixelSNAIL's hundred steps."""
    curves, random = {}, np.random.default_rng(0)
    for name, law, end in (("gpt", gpt, gpt_steps), ("pixelsnail", pixelsnail, 100)):
        step = np.arange(every, end + 1, every)
        for seed in (0, 1):
            nll = law.at(step / 100) + noise * random.normal(size=len(step))
            curves[f"{name}.seed{seed}"] = {"step": [0, *step.tolist()], "nll": [7.0, *nll.tolist()]}
    row = {"row": "8x8-small", "data": "cifar10", "seeds": [0, 1], "steps": 100, "unigram_entropy_nats": 6.0}
    write_json(folder / "metrics.json", row | {"curves": curves, "cost": cost})
    write_json(folder / "metadata.json", {"grid": [8, 8], "splits": {"train": {"num_images": 800}}})


def crossed(tmp_path, *laws, **more):
    compared(tmp_path / "row", *laws, **more)
    made = job(tmp_path, "crossing", "out", **{"8x8-small": "row", "8x8-small.latents": "row"})
    crossing(CrossingConfig({"8x8-small": 16}), made)
    return read_json(made.folder / "metrics.json")["rows"][0]


@pytest.mark.parametrize("law", [PowerLaw(4.0, 1.0, 0.5), PowerLaw(0.5, 3.0, 0.1), PowerLaw(5.0, 0.1, 2.0)])
def test_the_law_behind_points_is_found(law):
    found = PowerLaw.of(SHARE_P, law.at(SHARE_P))
    assert found.at(SHARE_P) == pytest.approx(law.at(SHARE_P), abs=5e-3)
    assert found.power == pytest.approx(law.power, rel=0.06)


@pytest.mark.parametrize("nll_P", [np.linspace(4, 5, 10), np.full(10, 3.0)])
def test_a_curve_that_does_not_fall_has_a_flat_law_and_says_so(nll_P):
    law = PowerLaw.of(SHARE_P, nll_P)
    assert law.at(np.array([0.5, 100])) == pytest.approx(nll_P.mean(), abs=1e-6)
    assert law.at_edge or law.drop < 1e-6


@pytest.mark.parametrize("number", [2, 3, 5, 7])
def test_points_at_one_budget_have_a_flat_law(number):
    nll_P = np.linspace(4, 6, number)
    law = PowerLaw.of(np.full(number, 0.7), nll_P)
    assert (law.floor, law.drop) == (pytest.approx(5), 0)
    assert law.at_edge


def test_a_power_beyond_those_that_are_tried_is_told():
    assert PowerLaw.of(SHARE_P, PowerLaw(4.0, 1.0, 6.0).at(SHARE_P)).at_edge
    assert not PowerLaw.of(SHARE_P, PowerLaw(4.0, 1.0, float(POWERS[30])).at(SHARE_P)).at_edge


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


@pytest.mark.parametrize(
    ("gpt", "pixelsnail", "ends", "expected"),
    [
        # 4 + 1 / share = 4.5 at twice the GPT's own end.
        (PowerLaw(4.0, 1.0, 1.0), PowerLaw(4.5, 0.0, 1.0), (100.0, 100.0), (False, 200)),
        (PowerLaw(4.0, 1.0, 1.0), PowerLaw(4.5, 0.0, 1.0), (300.0, 100.0), (False, 600)),
        # Ahead now, overtaken later: 4.9 + .1 / share against 4.5 + .6 / share.
        (PowerLaw(4.9, 0.1, 1.0), PowerLaw(4.5, 0.6, 1.0), (100.0, 100.0), (True, 125)),
        (PowerLaw(4.0, 0.1, 1.0), PowerLaw(4.5, 0.6, 1.0), (100.0, 100.0), (True, None)),
        (PowerLaw(4.6, 0.6, 1.0), PowerLaw(4.5, 0.6, 1.0), (100.0, 100.0), (False, None)),
    ],
)
def test_the_lead_changes_where_laws_are_equal_in_the_unit_of_both_ends(gpt, pixelsnail, ends, expected):
    leads, change = change_of_lead(
        {"gpt": gpt, "pixelsnail": pixelsnail}, dict(zip(("gpt", "pixelsnail"), ends, strict=True))
    )
    assert leads == expected[0]
    assert change == (None if expected[1] is None else pytest.approx(expected[1], rel=0.01))


def test_a_row_tells_the_gap_in_every_unit(tmp_path):
    # At step s: 4 + 100 / s against 5 + 25 / s, equal at step 75.
    row = crossed(tmp_path, PowerLaw(4.0, 1.0, 1.0), PowerLaw(5.0, 0.25, 1.0))
    steps, seconds = row["gaps"]["steps"], row["gaps"]["seconds"]
    assert steps["budget"] == [10.0 * at for at in range(1, 11)]
    assert steps["per_seed"]["0"][0] == pytest.approx(14 - 7.5)
    assert steps["at_end"]["mean"] == pytest.approx(-0.25)
    assert steps["at_half"] == pytest.approx(6 - 5.5)
    assert steps["ahead_from"] == 80
    assert steps["ahead_from_per_seed"] == {"0": 80, "1": 80}
    # A second buys ten steps of the GPT and five of PixelSNAIL: 4 + 10 / t against 5 + 5 / t, equal at five.
    assert seconds["budget"] == pytest.approx([2.0 * at for at in range(1, 11)])
    assert seconds["at_end"]["mean"] == pytest.approx(-0.75)
    assert seconds["ahead_from"] == pytest.approx(6)
    assert row["gaps"]["gflops"]["at_end"]["mean"] == pytest.approx(-0.25)
    assert row["nll"]["gpt"]["mean"] == pytest.approx(4.5)
    assert row["laws"]["gpt"]["missed"] == pytest.approx(0, abs=0.02)
    assert row["epochs"] == pytest.approx(100 * 16 / 800)


def test_of_runs_that_end_apart_the_shorter_ones_end_is_the_last_budget(tmp_path):
    dear = {"gpt": COST["gpt"] | {"seconds_per_step": 0.19, "gflops_per_step": 9.0}, "pixelsnail": COST["pixelsnail"]}
    row = crossed(tmp_path, PowerLaw(4.0, 1.0, 1.0), PowerLaw(5.0, 0.25, 1.0), gpt_steps=100, cost=dear)
    seconds = row["gaps"]["seconds"]
    assert seconds["budget"][-2:] == pytest.approx([18, 19])
    # The GPT's end as it was measured; PixelSNAIL's NLL at 95 steps lies between its points.
    assert seconds["at_end"]["mean"] == pytest.approx(5 - (5 + 0.25 / 0.95), abs=2e-3)
    assert row["gaps"]["gflops"]["budget"][-1] == pytest.approx(900)


def test_before_the_first_evaluation_of_either_nothing_is_compared(tmp_path):
    dear = {"gpt": COST["gpt"] | {"seconds_per_step": 0.5}, "pixelsnail": COST["pixelsnail"]}
    row = crossed(tmp_path, PowerLaw(4.0, 1.0, 1.0), PowerLaw(4.0, 1.0, 1.0), cost=dear)
    assert row["gaps"]["seconds"]["budget"][0] == pytest.approx(6)
    # Untrained, it had 7 nats; linear from there, the first gap would be less than this.
    assert row["gaps"]["seconds"]["per_seed"]["0"][0] == pytest.approx(4 + 1 / 0.12 - (4 + 1 / 0.3), abs=0.5)


def test_a_change_beyond_the_runs_has_an_interval_around_it(tmp_path):
    # Equal at 1.5 times PixelSNAIL's steps.
    row = crossed(tmp_path, PowerLaw(4.0, 1.8, 1.0), PowerLaw(5.0, 0.3, 1.0), gpt_steps=100, noise=0.02)
    found = row["gaps"]["steps"]
    extrapolated = found["extrapolated"]
    assert found["ahead_from"] is None
    assert not extrapolated["gpt_leads"]
    assert extrapolated["low"] < extrapolated["changes_at"] < extrapolated["high"]
    assert extrapolated["low"] < 150 < extrapolated["high"]
    assert extrapolated["share_of_draws"] == 1
    assert found["at_end"]["p_holm"] >= found["at_end"]["p"]
    assert "p_holm" not in row["gaps"]["gflops"]["at_end"]


def test_where_draws_disagree_the_share_of_them_says_so(tmp_path):
    row = crossed(tmp_path, PowerLaw(4.5, 0.8, 0.7), PowerLaw(4.5, 0.6, 0.7), gpt_steps=100, noise=0.03)
    found = row["gaps"]["steps"]["extrapolated"]
    assert 0 < found["share_of_draws"] < 1
    assert found["high"] is None
    assert found["low"] is not None


def test_who_never_leads_has_no_change(tmp_path):
    row = crossed(tmp_path, PowerLaw(5.0, 1.0, 1.0), PowerLaw(4.0, 1.0, 1.0))
    expected = {"gpt_leads": False, "changes_at": None, "low": None, "high": None, "share_of_draws": 0.0}
    assert row["gaps"]["steps"]["extrapolated"] == expected


def test_two_evaluations_suffice_and_one_does_not(tmp_path):
    laws = (PowerLaw(4.0, 1.0, 1.0), PowerLaw(5.0, 0.25, 1.0))
    row = crossed(tmp_path, *laws, gpt_steps=100, every=50)
    assert row["gaps"]["steps"]["budget"] == [50, 100]
    assert row["gaps"]["steps"]["at_half"] is not None
    # Its end is PixelSNAIL's first evaluation.
    assert row["gaps"]["seconds"]["budget"] == pytest.approx([10])
    assert row["gaps"]["seconds"]["at_half"] is None
    with pytest.raises(TwostageError, match=r"evaluations before the end.*evaluate_every"):
        crossed(tmp_path, *laws, every=100)
    dear = {"gpt": COST["gpt"], "pixelsnail": COST["pixelsnail"] | {"gflops_per_step": 30.0}}
    with pytest.raises(TwostageError, match=r"one run ends before.*evaluate_every"):
        crossed(tmp_path, *laws, gpt_steps=100, every=50, cost=dear)
