"""The plan of the ordering ablation, alone and together with Table 1's."""

import pytest

from tests.unit.conftest import SCALES, STUDIES, stage
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning.prompt import asked
from twostage.planning.whole import plan_of, whole_plan

pytestmark = pytest.mark.usefixtures("repository_conf")


@pytest.fixture(params=SCALES)
def plan(request):
    return plan_of("orderings", request.param)


def test_one_run_per_ordering_and_seed_and_nothing_else_differs(plan):
    runs = stage(plan, "priors.train")
    assert len(runs) == 6 * len(plan.study["seeds"])
    for name, run in runs.items():
        ordering, seed = name.split(".")[-2:]
        assert run.config["ordering"] == ordering
        assert seed == f"seed{run.config['loop']['seed']}"
    same_seed = [run for name, run in runs.items() if name.endswith("seed0")]
    controlled = [run.config | {"ordering": None} for run in same_seed]
    assert all(config == controlled[0] for config in controlled)
    # One tokenizer, one set of latents, one learning rate; no PixelSNAIL to be matched to.
    assert all(run.inputs == same_seed[0].inputs for run in runs.values())
    assert set(same_seed[0].inputs) == {"latents", "tune"}
    assert sum(job.stage == "tokenizers" for job in plan.jobs.values()) == 1


def test_the_learning_rate_is_that_of_the_row_major_sweep(plan):
    (tune,) = stage(plan, "priors.tune").values()
    assert tune.config["ordering"] == "row_major"
    assert tune.variant.endswith(".gpt.tune")


@pytest.mark.parametrize("scale", SCALES)
def test_both_studies_share_what_they_can(scale):
    table1, orderings, whole = plan_of("table1", scale), plan_of("orderings", scale), whole_plan(scale)
    planned = {folder: job for name in STUDIES for folder, job in plan_of(name, scale).jobs.items()}
    sums_up = whole.jobs[f"artifacts/{scale}/figures/summary"]
    assert whole.jobs == planned | {sums_up.out: sums_up}
    assert {"orderings", "table1.IN", "codebook_size", "f_sweep"} <= set(sums_up.inputs)
    new = {job.name for folder, job in orderings.jobs.items() if folder not in table1.jobs}
    assert new == {"priors.train", "sampling.generate", "evaluation.collect", "figures.study"}
    made = set()
    for job in whole.jobs.values():
        assert set(job.inputs.values()) <= made
        made.add(job.out)


def test_table1s_runs_keep_their_names_and_other_orders_are_named():
    assert "artifacts/laptop/priors/cifar10.vqgan_f4.gpt.seed0" in plan_of("table1", "laptop").jobs
    # The plan's run takes its rate from the row-major sweep.
    overrides = ("scale=smoke", "priors.ordering=spiral_out")
    assert asked("priors.train", overrides).job.variant == "cifar10.vqgan_f4.gpt.spiral_out.seed0"
    assert asked("priors.tune", overrides).job.variant == "cifar10.vqgan_f4.gpt.spiral_out.tune"


def changed(**changes):
    """A compose whose study is changed."""

    def compose(overrides):
        tree = composition.compose(overrides)
        if tree["study"]:
            tree["study"] |= changes
        return tree

    return compose


def test_one_more_ordering_adds_its_runs_and_changes_only_the_summary():
    before = plan_of("orderings", "smoke")
    names = [*before.study["vary"]["priors.ordering"], "random"]
    after = plan_of("orderings", "smoke", changed(vary={"priors.ordering": names}))
    different = {folder.removeprefix("artifacts/smoke/") for folder, job in after.jobs.items()
                 if before.jobs.get(folder) != job}  # fmt: skip
    runs = {f"priors/cifar10.vqgan_f4.gpt.random.seed{seed}" for seed in (0, 1)}
    samples = {"sampling/cifar10.vqgan_f4.gpt.random.seed0"}
    # The figure's job is the same; it runs again as its input's content changes.
    assert different == runs | samples | {"evaluation/orderings"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["row_major", "spiral"], "study orderings, row IN: .*spiral"),
        (["spiral_in", "spiral_out"], "compare.to is row_major, no value of priors.ordering"),
        (["row_major", "subsample", "subsample"], "priors.ordering is .*once each"),
    ],
)
def test_unknown_missing_and_repeated_orderings_are_one_line(names, message):
    with pytest.raises(TwostageError, match=message) as raised:
        plan_of("orderings", "smoke", changed(vary={"priors.ordering": names}))
    assert "\n" not in str(raised.value)


def test_paths_of_orders_want_orders_that_vary():
    study = {"vary": {"priors.gpt.dropout": [0.0, 0.1]}, "compare": None, "paper": [], "table": {}}
    with pytest.raises(TwostageError, match=r"a figure shows orders, and priors\.ordering does not vary"):
        plan_of("orderings", "smoke", changed(**study, figures=[{"kind": "orders"}]))
