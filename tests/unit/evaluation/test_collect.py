"""The long table of a study, and its statistics over seeds."""

import numpy as np
import pytest
from scipy import stats

from tests.studies import collected, point, write_prior, write_reconstructions, write_samples
from twostage.errors import TwostageError
from twostage.evaluation import quantities
from twostage.evaluation.collect import CollectConfig
from twostage.evaluation.measure import MeasureConfig, measure
from twostage.evaluation.quantities import Quantity
from twostage.evaluation.statistics import holm, paired, spread
from twostage.evaluation.words import word
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array, write_json
from twostage.runtime.job import Job

# Dropout and seed -> NLL; of the second seed 0.1 alone is missing.
SCORES = {(0.0, 0): 3.0, (0.0, 1): 3.2, (0.1, 0): 3.1, (0.1, 1): 3.4}


def priors(tmp_path, scores=SCORES, quantity="nll", **config):
    """A study over dropout whose runs have these scores."""
    points = [point(seed=seed, dropout=dropout) for dropout, seed in scores]
    runs = {at: write_prior(tmp_path / f"run{at}", nll) for at, nll in enumerate(scores.values())}
    return collected(tmp_path, runs, CollectConfig("mine", points, [quantity], **config))


def statistics_of(job):
    """Words of the values -> quantity -> its statistics."""
    found = {}
    for one in read_json(job.folder / "metrics.json")["statistics"]:
        found.setdefault(tuple(map(str, one["values"].values())), {})[one["quantity"]] = one
    return found


def test_a_line_of_the_long_table_is_one_number_with_all_that_tells_it(tmp_path):
    made = priors(tmp_path, {(0.0, 0): 3.0})
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    lines = read_csv(made.folder / "table.csv")
    about = {"study": "mine", "row": "IN", "source": "ours", "dropout": "0.0", "seed": "0", "quantity": "nll",
             "unit": "nats per token", "job": made.inputs["0.prior"]}  # fmt: skip
    assert all(line.items() >= about.items() for line in lines)
    # A curve at every evaluation, and the end, which the last point of a curve need not be.
    assert [(line["step"], float(line["value"])) for line in lines] == [("0", 4.1), ("10", 3.1), ("", 3.0)]


def test_the_end_of_what_has_a_curve_alone_is_its_last_point(tmp_path):
    made = priors(tmp_path, {(0.0, 0): 3.0}, "train_nll")
    steps = {line["step"]: float(line["value"]) for line in read_csv(made.folder / "table.csv")}
    assert steps == {"0": 2.0, "5": 3.0, "10": 2.0, "": 2.0}


def test_statistics_over_seeds_are_those_by_hand(tmp_path):
    found = statistics_of(priors(tmp_path))["0.0",]["nll"]
    half = stats.t.ppf(0.975, 1) * 0.1
    assert (found["num_seeds"], found["mean"]) == (2, pytest.approx(3.1))
    assert found["std"] == pytest.approx(0.2 / np.sqrt(2))
    assert (found["ci95_low"], found["ci95_high"]) == (pytest.approx(3.1 - half), pytest.approx(3.1 + half))


def test_differences_are_paired_by_seed(tmp_path):
    found = statistics_of(priors(tmp_path, compare_to={"dropout": 0.0}))
    assert found["0.0",]["nll"]["difference"] is None
    difference = found["0.1",]["nll"]["difference"]
    assert difference["mean"] == pytest.approx(0.15)
    # Of the differences 0.1 and 0.2, much less than of the scores.
    assert difference["std"] == pytest.approx(0.1 / np.sqrt(2))
    assert all(one["nll"]["difference"] is None for one in statistics_of(priors(tmp_path)).values())


def test_p_is_of_the_paired_test_and_corrected_for_all_differences_of_the_quantity(tmp_path):
    scores = {(dropout, seed): 3.0 + dropout * (seed + 1) + dropout**2 * seed**2
              for dropout in (0.0, 0.1, 0.2) for seed in range(3)}  # fmt: skip
    metrics = priors(tmp_path, scores, compare_to={"dropout": 0.0})
    found = statistics_of(metrics)
    first, second = (found[word,]["nll"]["difference"] for word in ("0.1", "0.2"))
    for one, dropout in ((first, 0.1), (second, 0.2)):
        ours, reference = ([scores[value, seed] for seed in range(3)] for value in (dropout, 0.0))
        assert one["p"] == pytest.approx(stats.ttest_rel(ours, reference).pvalue)
    assert min(first["p_holm"], second["p_holm"]) == pytest.approx(2 * min(first["p"], second["p"]))
    assert read_json(metrics.folder / "metrics.json")["seeds_of"] == "priors"


def test_holm_steps_down_and_never_falls():
    """By hand: 0.01 x 4, 0.02 x 3, 0.03 x 2 (below the one before it, so as that), 0.5 x 1."""
    assert holm([0.5, None, 0.01, 0.03, 0.02]) == pytest.approx([0.5, None, 0.04, 0.06, 0.06])
    assert holm([0.4, 0.9]) == [0.8, 0.9]
    assert holm([None]) == [None]


def test_what_has_no_spread_has_no_p():
    assert paired({0: 2.0}, {0: 1.0})["p"] is None
    assert paired({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0})["p"] is None


def test_seeds_without_a_partner_are_left_out_of_a_difference():
    assert paired({0: 1.0, 1: 5.0}, {1: 3.0, 2: 9.0}) == spread([2.0]) | {"p": None}
    assert paired({0: 1.0}, {1: 3.0}) is None


def test_one_seed_has_no_spread():
    assert spread([2.0]) == {"mean": 2.0, "std": None, "ci95_low": None, "ci95_high": None}


def test_rows_are_compared_within_themselves(tmp_path):
    scores = {("IN", 0.0): 3.0, ("IN", 0.1): 3.5, ("RIN", 0.0): 4.0, ("RIN", 0.1): 4.1}
    points = [point(row, dropout=dropout) for row, dropout in scores]
    # Other data have a sweep, and so a rate, of their own.
    runs = {
        at: write_prior(tmp_path / f"run{at}", nll, learning_rate=0.1 if row == "IN" else 0.2)
        for at, ((row, _), nll) in enumerate(scores.items())
    }
    config = CollectConfig("mine", points, ["nll"], {"dropout": 0.0}, equal=["steps", "learning_rate"])
    write_json(tmp_path / "latents/metadata.json",
               {"grid": [8, 8], "splits": {"validation": {"unigram_entropy_nats": 5.0}}})  # fmt: skip
    made = collected(tmp_path, runs, config, **{"IN.latents": str(tmp_path / "latents")})
    metrics = read_json(made.folder / "metrics.json")
    differences = {one["row"]: one["difference"]["mean"] for one in metrics["statistics"] if one["difference"]}
    assert differences == {"IN": pytest.approx(0.5), "RIN": pytest.approx(0.1)}
    assert metrics["rows"] == {"IN": {"grid": [8, 8], "unigram_entropy_nats": 5.0}, "RIN": {}}
    # Only what all runs agree in is said of all.
    assert metrics["told"]["steps"] == 10
    assert "learning_rate" not in metrics["told"]


@pytest.mark.parametrize(("key", "value"), [("steps", 20), ("learning_rate", 0.1)])
def test_runs_that_are_to_be_equal_and_are_not_are_refused(tmp_path, key, value):
    runs = {0: write_prior(tmp_path / "one", 3.0), 1: write_prior(tmp_path / "two", 3.1, **{key: value})}
    config = CollectConfig("mine", [point(dropout=0.0), point(dropout=0.1)], ["nll"], equal=[key])
    with pytest.raises(TwostageError, match=f"two/prior has {key} {value}, and .*one/prior has"):
        collected(tmp_path, runs, config)
    assert collected(tmp_path, runs, CollectConfig("mine", config.points, ["nll"])).folder.exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (([1, 2, 1], [2, 4, 2]), ("1, 2, 1", "2, 4, 2")),
        (({"loss": "none"}, {"loss": "hinge", "weight": 0.30}), ("loss none", "loss hinge, weight 0.3")),
        ((None, 0.5), ("", "0.5")),
        ((True, False), ("True", "False")),
    ],
)
def test_any_value_may_vary(tmp_path, values, words):
    points = [point(depth=value) for value in values]
    runs = {at: write_prior(tmp_path / f"run{at}", 3.0 + at) for at in range(2)}
    made = collected(tmp_path, runs, CollectConfig("mine", points, ["nll"], {"depth": values[0]}))
    first, second = read_json(made.folder / "metrics.json")["statistics"]
    assert [one["values"]["depth"] for one in (first, second)] == [
        word(value) if isinstance(value, list | dict) else value for value in values
    ]
    assert list(dict.fromkeys(line["depth"] for line in read_csv(made.folder / "table.csv"))) == list(words)
    assert (first["difference"], second["difference"]["mean"]) == (None, 1.0)


def test_runs_that_were_not_sampled_have_no_number_of_samples(tmp_path):
    runs = {at: write_prior(tmp_path / f"run{at}", 3.0 + at) for at in range(2)}
    runs[0] |= write_samples(tmp_path / "run0", 90.0)
    config = CollectConfig("mine", [point(seed=0, dropout=0.0), point(seed=1, dropout=0.0)], ["nll", "fid"])
    found = statistics_of(collected(tmp_path, runs, config))["0.0",]
    assert (found["nll"]["num_seeds"], found["fid"]["num_seeds"], found["fid"]["mean"]) == (2, 1, 90.0)


def test_pictures_are_the_first_samples_of_every_run(tmp_path):
    points = [point(dropout=0.0), point(dropout=0.1)]
    runs = {at: write_samples(tmp_path / f"run{at}", 90.0, shade=50 * at) for at in range(2)}
    made = collected(tmp_path, runs, CollectConfig("mine", points, ["fid"], pictures=3))
    assert read_json(made.folder / "metrics.json")["strips"] == ["0", "0.1"]
    grid_SNHWC = read_array(made.folder / "grid.npy")
    assert grid_SNHWC.shape == (2, 3, 4, 4, 3)
    assert grid_SNHWC[:, 0, 0, 0, 0].tolist() == [0, 50]


def test_films_are_the_states_of_the_first_chains_run_after_run(tmp_path):
    points, runs = [point(steps=2), point(steps=4)], {}
    for at, steps in enumerate(([0, 2], [0, 1, 4])):
        runs[at] = write_samples(tmp_path / f"run{at}", 90.0)
        state_F = np.array([10 * at + step for step in steps], np.uint8)
        film_FMHWC = np.broadcast_to(state_F[:, None, None, None, None], (len(steps), 5, 4, 4, 3))
        write_array(tmp_path / f"run{at}/sampling/film.npy", np.ascontiguousarray(film_FMHWC))
        write_json(tmp_path / f"run{at}/sampling/metrics.json", {"film_steps": steps})
    made = collected(tmp_path, runs, CollectConfig("mine", points, ["fid"], films=2))
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    assert read_json(made.folder / "metrics.json")["films"] == [
        {"label": "2", "steps": [0, 2]}, {"label": "4", "steps": [0, 1, 4]},
    ]  # fmt: skip
    film_FMHWC = read_array(made.folder / "film.npy")
    assert film_FMHWC.shape == (5, 2, 4, 4, 3)
    assert film_FMHWC[:, 1, 0, 0, 0].tolist() == [0, 2, 10, 11, 14]


def test_pictures_of_tokenizers_are_reconstructions_below_their_originals(tmp_path):
    points = [point("VQGAN"), point("VQVAE")]
    runs = {at: write_reconstructions(tmp_path / f"run{at}", 0.2, shade=100 + at) for at in range(2)}
    made = collected(tmp_path, runs, CollectConfig("mine", points, ["lpips"], pictures=3))
    assert read_json(made.folder / "metrics.json")["strips"] == ["original", "VQGAN", "VQVAE"]
    assert read_array(made.folder / "grid.npy")[:, 2, 0, 0, 0].tolist() == [0, 100, 101]


def test_a_metric_of_ones_own_is_one_function_and_one_line(tmp_path, monkeypatch):
    """What a study asks of `evaluation.measure`, and reads back."""

    def brightness(folders):
        return float(read_array(folders["sampling"] / "samples.npy").mean())

    mine = Quantity("brightness", "grey levels", ".1f", "neither", "sampling", measure=brightness)
    monkeypatch.setitem(quantities.QUANTITIES, "brightness", mine)
    runs = {0: write_samples(tmp_path / "run", 90.0, shade=7)}
    asked = Job("evaluation", "measure", "brightness.run", "smoke", {}, runs[0], str(tmp_path / "measured"), [])
    measure(MeasureConfig("brightness"), asked)
    runs[0]["brightness"] = asked.out
    made = collected(tmp_path, runs, CollectConfig("mine", [point()], ["brightness"]))
    (line,) = read_csv(made.folder / "table.csv")
    assert (line["quantity"], line["unit"], float(line["value"])) == ("brightness", "grey levels", 7.0)
    assert line["job"] == asked.out


@pytest.mark.parametrize(
    ("loss", "steps"),
    [({"adversarial": "hinge", "adversarial_start": 15}, 5), ({"adversarial": "hinge", "adversarial_start": 30}, 0),
     ({"adversarial": "none", "adversarial_start": 0}, 0)],
)  # fmt: skip
def test_steps_with_a_discriminator_begin_with_it(tmp_path, loss, steps):
    write_json(tmp_path / "config.json", {"config": {"loss": loss}})
    write_json(tmp_path / "metrics.json", {"steps": 20})
    assert quantities.adversarial_steps({"tokenizer": tmp_path}) == steps


def test_distinct_codes_are_counted_in_every_grid(tmp_path):
    write_array(tmp_path / "index.npy", np.array([[[1, 1], [1, 1]], [[1, 2], [3, 1]]], np.uint16))
    assert quantities.distinct_codes({"sampling": tmp_path}) == 2.0
