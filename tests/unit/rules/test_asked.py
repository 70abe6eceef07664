"""What Snakemake was asked."""

import pytest

from twostage.config import composition
from twostage.errors import TwostageError
from twostage.rules import asked

COMMITTED = {"committed": "laptop"}


def test_the_scale_is_what_was_asked_for():
    assert asked.scale(COMMITTED | {"scale": "smoke"}) == "smoke"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (COMMITTED, "scale is None"),
        (COMMITTED | {"scale": None}, "scale is None"),
        (COMMITTED | {"scale": ["smoke"]}, "scale is ['smoke']"),
        (COMMITTED | {"scale": {"smoke": 1}}, "scale is {'smoke': 1}"),
        (COMMITTED | {"scale": 7}, "scale is 7"),
        ({"scale": "smoke"}, "committed is None"),
    ],
)
def test_what_is_no_scale_is_one_line(config, named):
    with pytest.raises(TwostageError) as caught:
        asked.scale(config)
    assert named in str(caught.value)
    assert "conf/scale" in str(caught.value)


@pytest.mark.usefixtures("repository_conf")
@pytest.mark.parametrize(
    ("words", "studies"),
    [
        ("-n results/table1.csv", ["table1"]),
        ("-n results/tokenizers.csv results/table1.md", ["table1"]),
        ("--dry-run --config scale=night -- results/night/f_sweep_conditional.csv", ["f_sweep_conditional"]),
        ("-n results/figures/orderings_samples.png results/table1.csv", ["orderings", "table1"]),
        ("-n", []),
        ("-n all", []),
        ("-n results/table1.csv data", []),
        ("-n results/claims.csv", []),
        ("-n artifacts/smoke/tokenizers/cifar10.vqgan_f4/metrics.json", []),
        ("results/table1.csv", []),
        ("--summary", []),
    ],
)
def test_a_look_at_tables_is_about_their_studies_alone(monkeypatch, words, studies):
    monkeypatch.setattr("sys.argv", ["snakemake", *words.split()])
    assert asked.studies() == studies


@pytest.mark.usefixtures("repository_conf")
def test_a_look_beside_a_study_of_the_users_is_about_all(monkeypatch, tmp_path):
    (tmp_path / "mine.yaml").write_text((composition.CONF / "study/gpt_dropout.yaml").read_text())
    monkeypatch.setattr(composition, "_studies", {"mine": tmp_path / "mine.yaml"})
    monkeypatch.setattr("sys.argv", ["snakemake", "-n", "results/table1.csv"])
    assert asked.studies() == []
