"""SUNDAE beside a transformer and absorbing diffusion: one clock, a score of its own for each, what is shown."""

import pytest

from tests.unit.evaluation.test_factor_summaries import NLL, write_line, write_pace
from twostage.config.schema import FiguresConfig
from twostage.evaluation.sample_sets import SampleSetsConfig, sample_sets
from twostage.figures.sundae_vs_autoregressive import SundaeVsAutoregressiveConfig, sundae_vs_autoregressive
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import BOUND, DENOISING

UNMASKING = {"steps": 10, "temperature": 1.0, "mean_steps_per_image": 9.25, "top_k": None}
CHAIN = UNMASKING | {"temperature": [1.0, 0.5], "proportion": [0.5, 0.5]}
LABELS = ["transformer, SUNDAE's time", "absorbing diffusion, 10 steps, SUNDAE's time", "SUNDAE, 10 steps"]
LOOK = FiguresConfig("neurips2024", {"gpt": "#0072B2", "sundae": "#009E73", "absorbing": "#CC79A7"}, png_dpi=50)
PAPER = [{"label": "VQGAN + absorbing DDPM", "fid": 6.11, "density": 1.51, "coverage": 0.83}]


def write_set(folder, prefix, architecture, score, drawn):
    """A prior has one score: that of its own task."""
    inputs = write_line(folder, prefix, 90.0, {"architecture": architecture, score: 2.5, "steps": 100}, drawn)
    for name, changes in (
        ("prior", {}),
        ("samples", {"protocol": {"real": {"images": 100}, "samples": {"images": 50}}}),
    ):
        path = folder / prefix / name / "metrics.json"
        kept = {key: value for key, value in read_json(path).items() if key != NLL or score == NLL}
        write_json(path, kept | changes)
    return inputs


def paced(folder, name, own, rival, architecture):
    (path,) = write_pace(folder / name, own, rival, (architecture, "sundae")).values()
    return {name: path}


@pytest.fixture
def summary(tmp_path):
    inputs = write_set(tmp_path, "set0", "gpt", NLL, {})
    inputs |= write_set(tmp_path, "set1", "absorbing", BOUND, UNMASKING)
    inputs |= write_set(tmp_path, "set2", "sundae", DENOISING, CHAIN)
    # The second pace was measured while the machine was twice as slow.
    inputs |= paced(tmp_path, "pace", 0.5, 0.75, "gpt") | paced(tmp_path, "pace_absorbing", 0.5, 1.5, "absorbing")
    config = SampleSetsConfig("sundae_vs_autoregressive", "FFHQ256", "cifar10", "vqgan_f4", 4, LABELS, 3)
    files = VERBS["evaluation.sample_sets"].files
    made = Job("evaluation", "sample_sets", "v", "smoke", {}, inputs, str(tmp_path / "out"), files)
    sample_sets(config, made)
    return made


def test_training_seconds_of_all_are_on_the_clock_of_one_pace(summary):
    metrics = read_json(summary.folder / "metrics.json")
    transformer, absorbing, sundae = (row["seconds_per_step"] for row in metrics["sets"].values())
    assert (transformer, sundae) == (0.5, 0.75)
    # A third of a step of SUNDAE, whatever else the machine did.
    assert absorbing == pytest.approx(0.25)
    assert [metrics[name]["seconds_ratio"] for name in ("pace", "pace_absorbing")] == pytest.approx([1.5, 3.0])


def test_each_kind_of_prior_has_a_score_of_its_own(summary):
    rows = read_json(summary.folder / "metrics.json")["sets"].values()
    names = (NLL, "bound_nats_per_token", "denoising_nats_per_token")
    assert [[row[name] for name in names] for row in rows] == [[2.5, None, None], [None, 2.5, None], [None, None, 2.5]]
    assert [row["network_evaluations"] for row in rows] == [1024, 9.25, 9.25]
    assert [row["chain_steps"] for row in rows] == [None, 10, 10]


def test_the_table_shows_the_bound_in_a_column_of_its_own(summary, tmp_path):
    files = [name.format(variant="name") for name in VERBS["figures.sundae_vs_autoregressive"].files]
    made = Job(
        "figures", "sundae_vs_autoregressive", "name", "smoke", {}, {"row": summary.out}, str(tmp_path / "f"), files
    )
    sundae_vs_autoregressive(SundaeVsAutoregressiveConfig("close", {"row": PAPER}, LOOK), made)
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(files)
    transformer, absorbing, sundae, paper = read_csv(made.folder / "name.csv")
    assert [line["bound_nats_per_token"] for line in (transformer, absorbing, sundae, paper)] == ["", "2.5", "", ""]
    assert (absorbing[NLL], absorbing["denoising_nats_per_token"]) == ("", "")
    text = (made.folder / "name.md").read_text()
    for part in ("bound of the NLL [nats per token]", "≤ 2.500", "its NLL is at most that", "unmasks at temperature 1"):
        assert part in text
    assert "paper: VQGAN + absorbing DDPM" in text


def test_a_summary_of_before_there_was_a_bound_is_drawn_as_it_was(summary, tmp_path):
    metrics = read_json(summary.folder / "metrics.json")
    del metrics["sets"][LABELS[1]]
    for row in metrics["sets"].values():
        del row["bound_nats_per_token"]
    write_json(summary.folder / "metrics.json", metrics)
    files = [name.format(variant="name") for name in VERBS["figures.sundae_vs_autoregressive"].files]
    made = Job(
        "figures", "sundae_vs_autoregressive", "name", "smoke", {}, {"row": summary.out}, str(tmp_path / "f"), files
    )
    write_array(summary.folder / "grid.npy", read_array(summary.folder / "grid.npy")[[0, 2]])
    sundae_vs_autoregressive(SundaeVsAutoregressiveConfig("close", {"row": PAPER}, LOOK), made)
    assert "bound_nats_per_token" not in read_csv(made.folder / "name.csv")[0]
    assert "bound of the NLL" not in (made.folder / "name.md").read_text()
