"""The jobs of absorbing priors: by hand, at every scale, and beside those of other priors."""

import pytest
import torch

from tests.unit.conftest import SCALES, stage
from twostage.config import composition
from twostage.config.composition import parse
from twostage.config.schema import DenoisingConfig, InpaintingConfig, PriorConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.planning.chain import chain
from twostage.planning.jobs import classes_job, denoising_job, latents_job, pace_job, prior_job, tokenizer_job
from twostage.planning.prompt import asked
from twostage.planning.verbs import VERBS
from twostage.planning.whole import plan_of
from twostage.priors.model import build, num_parameters

pytestmark = pytest.mark.usefixtures("repository_conf")


def size(scale, name, *overrides):
    tree = composition.compose((f"scale={scale}", f"priors={name}", *overrides))
    with torch.device("meta"):
        tokens = TokenSpace(tree["tokenizers"]["quantizer"]["num_codes"], (8, 8))
        return num_parameters(build(parse(PriorConfig, tree["priors"]), tokens))


@pytest.mark.parametrize("scale", SCALES)
def test_it_has_as_many_parameters_as_the_transformer(scale):
    assert size(scale, "absorbing") == pytest.approx(size(scale, "gpt"), rel=0.02)


@pytest.mark.parametrize("scale", SCALES)
def test_with_an_hourglass_it_has_as_many_as_sundae(scale):
    hourglass = size(scale, "absorbing", "priors.absorbing.network=hourglass")
    assert hourglass == pytest.approx(size(scale, "sundae"), rel=0.02)


@pytest.mark.parametrize("verb", ["priors.tune", "priors.train", "sampling.denoise", "sampling.inpaint"])
def test_every_verb_of_it_can_be_called_by_hand(verb):
    overrides = ("scale=smoke", "priors=absorbing")
    tree = composition.compose(overrides)
    latents = latents_job(tree, tokenizer_job(tree))
    job = asked(verb, overrides).job
    assert job.name == verb
    assert job.files == VERBS[verb].files
    if "prior" in job.inputs:
        assert job.inputs["prior"] == prior_job(tree, latents, None, {}).out
        assert "absorbing.seed0" in job.inputs["prior"]
    by_class = asked(verb, (*overrides, "priors.condition=class")).job
    assert by_class.inputs["condition"] == classes_job(tree, latents).out


def test_it_unmasks_and_runs_no_chain():
    *_, drawn = chain(("scale=smoke", "priors=absorbing", "sampling.denoising.unmasking.steps=9"), "sampling.denoise")
    config = parse(DenoisingConfig, drawn.config)
    assert (config.chain, config.unmasking.steps) == (None, 9)
    *_, filled = chain(("scale=smoke", "priors=absorbing"), "sampling.inpaint")
    config = parse(InpaintingConfig, filled.config)
    assert (config.chain, config.unmasking.steps, config.unmasking.temperature) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("prior", "override", "named"),
    [
        ("absorbing", "sampling.denoising.chain.steps=9", r"absorbing does not read sampling\.denoising\.chain"),
        ("sundae", "sampling.denoising.unmasking.steps=9", r"sundae does not read sampling\.denoising\.unmasking"),
        ("absorbing", "sampling.temperature=0.9", r"set sampling\.denoising\.unmasking\.temperature"),
        ("absorbing", "sampling.top_k=5", r"set sampling\.denoising\.unmasking\.temperature"),
        ("sundae", "sampling.temperature=0.9", r"set sampling\.denoising\.chain\.temperature_start"),
        (
            "gpt",
            "sampling.inpainting.chain.steps=9",
            r"gpt does not read sampling\.inpainting\.chain; set .*temperature",
        ),
        ("sundae", "sampling.inpainting.temperature=0.9", r"sundae does not read sampling\.inpainting\.temperature"),
        ("pixelsnail", "sampling.temperature=0.9", r"set sampling\.inpainting\.temperature"),
        ("gpt", "sampling.top_k=5", r"set sampling\.inpainting\.temperature"),
        ("gpt", "sampling.denoising.chain.steps=9", r"gpt draws token by token; use sampling\.generate, or .*sundae"),
    ],
)
def test_what_a_prior_does_not_read_is_refused(prior, override, named):
    verb = "sampling.inpaint" if "inpainting" in named else "sampling.denoise"
    with pytest.raises(TwostageError, match=named):
        chain(("scale=smoke", f"priors={prior}", override), verb)


@pytest.mark.parametrize("prior", ["gpt", "pixelsnail", "sundae"])
def test_other_priors_are_asked_for_as_if_it_did_not_exist(prior):
    """So that nothing of theirs is out of date for it."""
    verb = "sampling.denoise" if prior == "sundae" else "sampling.generate"
    jobs = chain(("scale=smoke", f"priors={prior}"), verb)
    assert not [job.out for job in jobs if "absorbing" in str(job.config) or "unmasking" in str(job.config)]
    changed = ("scale.priors.absorbing.width=64", "scale.priors.absorbing.num_heads=4")
    assert [job.config for job in chain(("scale=smoke", f"priors={prior}", *changed), verb)] == [
        job.config for job in jobs
    ]


def test_it_steps_in_turn_with_a_rival():
    trees = {name: composition.compose(("scale=smoke", f"priors={name}")) for name in ("absorbing", "sundae")}
    latents = latents_job(trees["sundae"], tokenizer_job(trees["sundae"]))
    own, rival = (prior_job(tree, latents, None, {}) for tree in trees.values())
    pace = pace_job(trees["absorbing"], own, rival)
    assert pace.variant == "cifar10.vqgan_f4.absorbing.against_sundae"
    assert [pace.config[name]["architecture"] for name in ("own", "rival")] == ["absorbing", "sundae"]
    assert parse(PriorConfig, pace.config["own"]).absorbing.network == "transformer"


def test_a_prior_of_the_users_says_itself_how_it_draws(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text('{"format": "twostage", "architecture": "absorbing"}')
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer/config.json").write_text("{}")
    folders = (f"prior={tmp_path}/mine", f"tokenizer={tmp_path}/tokenizer")
    job = asked("sampling.denoise", ("scale=smoke", *folders)).job
    assert (job.config["chain"], job.config["unmasking"]["temperature"]) == (None, 1.0)
    tree = composition.compose(("scale=smoke", "priors=absorbing"))
    own = prior_job(tree, latents_job(tree, tokenizer_job(tree)), None, {})
    assert denoising_job(tree, own, tokenizer_job(tree)).config == job.config


def test_a_task_of_conditional_synthesis_may_name_it():
    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        if (tree["study"] or {}).get("name") == "edges":
            tree["study"]["fixed"]["priors"] = "absorbing"
            tree["study"]["measure"] = ["edges_f1", "lpips_to_truth", "fid", "bound"]
        return tree

    plan = plan_of("edges", "smoke", compose)
    runs = stage(plan, "priors.train").values()
    assert {(run.config["architecture"], run.config["condition"]) for run in runs} == {
        ("absorbing", "edges_f4"),
        ("absorbing", None),
    }
    # As long as a transformer: a step of SUNDAE costs more, so it has a budget of its own.
    assert {run.config["loop"]["steps"] for run in runs} == {plan.tree["scale"]["study"]["conditional"]["steps"]}
    for drawn in stage(plan, "sampling.denoise").values():
        assert drawn.config["chain"] is None
        assert drawn.config["per_condition"] == plan.tree["scale"]["study"]["conditional"]["per_condition"]
    assert not stage(plan, "sampling.generate")


def test_a_study_may_vary_how_it_is_drawn_from_and_measure_its_bound():
    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        if (tree["study"] or {}).get("name") == "gpt_dropout":
            tree["study"] |= {
                "fixed": {"priors": "absorbing"},
                "vary": {"sampling.denoising.unmasking.steps": [8, None]},
                "measure": ["bound", "fid", "network_evaluations"],
                "table": {"show": ["bound", "fid"]},
                "compare": None,
                "figures": [{"kind": "line", "y": "bound"}, {"kind": "point", "y": "fid"}],
            }
        return tree

    plan = plan_of("gpt_dropout", "smoke", compose)
    assert {job.config["architecture"] for job in stage(plan, "priors.train").values()} == {"absorbing"}
    drawn = stage(plan, "sampling.denoise")
    assert {name.rpartition("seed0.")[2]: job.config["unmasking"]["steps"] for name, job in drawn.items()} == {
        "steps8_temperature1_images40": 8,
        "all_steps_temperature1_images40": None,
    }


@pytest.mark.parametrize("scale", SCALES)
def test_absorbing_diffusion_trains_as_long_as_sundae_with_as_many_parameters(scale):
    plan = plan_of("sundae_vs_autoregressive", scale)
    runs = [run for run in stage(plan, "priors.timed").values() if run.config["architecture"] == "absorbing"]
    assert len(runs) == (2 if scale == "paper" else 1)
    for run in runs:
        rival, pace = plan.jobs[run.inputs["rival"]], plan.jobs[run.inputs["pace"]]
        assert [pace.config[name]["architecture"] for name in ("own", "rival")] == ["absorbing", "sundae"]
        assert rival.config["architecture"] == "sundae"
        assert rival.inputs["latents"] == run.inputs["latents"]
        assert plan.jobs[run.inputs["tune"]].config["architecture"] == "absorbing"
        side = 16 if scale == "paper" else 8
        tokens = TokenSpace(plan.tree["scale"]["tokenizers"]["num_codes"], (side, side))
        with torch.device("meta"):
            own, other = (num_parameters(build(parse(PriorConfig, job.config), tokens)) for job in (run, rival))
        assert own == pytest.approx(other, rel=0.05)


@pytest.mark.parametrize("scale", SCALES)
def test_it_is_drawn_in_as_many_steps_as_sundae_and_never_in_more_than_tokens(scale):
    plan = plan_of("sundae_vs_autoregressive", scale)
    asked = plan.tree["scale"]["study"]["sundae"]["table_steps"]
    for summary in stage(plan, "evaluation.sample_sets").values():
        drawn = {
            label: plan.jobs[summary.inputs[f"set{at}.sampling"]] for at, label in enumerate(summary.config["sets"])
        }
        steps = [job.config["unmasking"]["steps"] for label, job in drawn.items() if label.startswith("absorbing")]
        assert steps == (asked if "pace_absorbing" in summary.inputs else [])
        # As many evaluations as SUNDAE may take; its label ends as the transformer's of equal time does.
        assert all(label.endswith("steps, SUNDAE's time") for label in drawn if label.startswith("absorbing"))


def test_more_steps_than_tokens_are_as_many_as_tokens():
    trees = composition.trees()

    def compose(overrides):
        tree = trees(overrides)
        tree["scale"]["study"]["sundae"]["table_steps"] = [100]
        return tree

    (drawn,) = (
        job
        for job in stage(plan_of("sundae_vs_autoregressive", "laptop", compose), "sampling.denoise").values()
        if ".absorbing." in job.variant
    )
    assert drawn.config["unmasking"]["steps"] == 64


def test_a_mistyped_key_is_named():
    with pytest.raises(TwostageError, match="layers"):
        composition.compose(("scale=smoke", "priors=absorbing", "priors.absorbing.transformer.layers=3"))
