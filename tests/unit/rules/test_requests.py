"""What jobs ask a scheduler for."""

from types import SimpleNamespace

import pytest

from twostage.planning.verbs import VERBS
from twostage.planning.whole import Planned, plan_of, whole_plan
from twostage.rules import requests
from twostage.rules.requests import Requests

GPT = SimpleNamespace(variant="cifar10.vqgan_f4.gpt.seed0")
HEADER = "job,scale,optimizer_gb,activations_gb,A100_hours\n"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The requests of Table 1's jobs at scale smoke, with GPUs or none, by these rows of results/plan.csv."""
    found = plan_of("table1", "smoke")
    plan = Planned("smoke", found.jobs, found.tree, {})
    monkeypatch.chdir(tmp_path)

    def write(rows, gpus=1):
        (tmp_path / "results").mkdir(exist_ok=True)
        requests.ESTIMATES.write_text(HEADER + rows)
        requests._estimates.cache_clear()
        return Requests(plan, gpus)

    yield write
    requests._estimates.cache_clear()


@pytest.fixture(autouse=True)
def conf(repository_conf):
    """The plans of the repository."""


def test_a_large_model_asks_for_memory_of_its_states_and_time_with_a_margin(asked):
    of = asked(f"priors.train {GPT.variant},smoke,20,35,100\n")
    assert of.memory_mb("priors.train")(GPT) == VERBS["priors.train"].memory_mb + 40_000
    assert of.memory_mb("priors.train", 2)(GPT) == 2 * of.memory_mb("priors.train")(GPT)
    assert of.minutes("priors.train")(GPT) == 60 + 2 * 100 * 60


def test_without_a_gpu_activations_are_memory_too_and_hours_of_cards_say_nothing(asked):
    of = asked(f"priors.train {GPT.variant},smoke,20,35,100\n", gpus=0)
    assert of.memory_mb("priors.train")(GPT) == VERBS["priors.train"].memory_mb + 75_000
    assert of.minutes("priors.train")(GPT) == VERBS["priors.train"].minutes


@pytest.mark.parametrize(
    "row", ["", f"priors.train {GPT.variant},paper,20,35,100\n", "priors.train other,smoke,20,35,9\n"]
)
def test_a_job_without_an_estimate_of_its_scale_asks_for_what_its_verb_does(asked, row):
    of = asked(row)
    assert of.memory_mb("priors.train")(GPT) == VERBS["priors.train"].memory_mb
    assert of.minutes("priors.train")(GPT) == VERBS["priors.train"].minutes


def test_without_the_plan_of_cost_every_verb_has_its_own(asked):
    of = asked("")
    requests.ESTIMATES.unlink()
    requests._estimates.cache_clear()
    assert of.minutes("priors.train")(GPT) == VERBS["priors.train"].minutes


def test_the_estimates_in_git_name_the_jobs_of_scale_paper(monkeypatch):
    requests._estimates.cache_clear()
    estimates = requests._estimates("paper")
    jobs = whole_plan("paper").jobs.values()
    trained = [f"{job.name} {job.variant}" for job in jobs if job.name in ("priors.train", "tokenizers.train")]
    # Of a study that came later: write the file again, as docs/cost.md says.
    assert [name for name in trained if name not in estimates] == []
    assert all(float(estimates[name][requests.HOURS]) > 0 for name in trained)
