"""The jobs of SUNDAE priors, by hand and for studies."""

import pytest
import torch

from tests.unit.conftest import SCALES
from twostage.config import composition
from twostage.config.composition import parse
from twostage.config.schema import DenoisingConfig, InpaintingConfig, PriorConfig, SamplingConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.planning.jobs import (
    classes_job,
    data_job,
    denoising_job,
    inpainting_job,
    latents_job,
    prior_job,
    samples_evaluation_job,
    sampling_job,
    tokenizer_job,
    tune_job,
)
from twostage.planning.prompt import asked
from twostage.planning.verbs import VERBS, files_read
from twostage.priors.model import build, num_parameters
from twostage.sampling.denoising import Schedule

pytestmark = pytest.mark.usefixtures("repository_conf")


def upstream(*overrides, prior="sundae"):
    tree = composition.compose(("scale=smoke", f"priors={prior}", *overrides))
    tokenizer = tokenizer_job(tree)
    return tree, tokenizer, latents_job(tree, tokenizer)


def test_a_sundae_prior_is_a_prior_like_any():
    tree, _, latents = upstream()
    job = prior_job(tree, latents, None, {"tune": tune_job(tree, latents, None)})
    assert job.variant == "cifar10.vqgan_f4.sundae.seed0"
    assert (job.verb, job.config["architecture"]) == ("train", "sundae")
    assert job.files == VERBS["priors.train"].files
    assert parse(PriorConfig, job.config).sundae.unrolls == 2


def test_its_samples_and_inpaintings_are_asked_for_by_their_own_slices():
    tree, tokenizer, latents = upstream("sampling.denoising.chain.steps=20")
    prior = prior_job(tree, latents, None, {})
    samples = denoising_job(tree, prior, tokenizer, label="steps20")
    assert samples.out == "artifacts/smoke/sampling/cifar10.vqgan_f4.sundae.seed0.steps20"
    asked = parse(DenoisingConfig, samples.config)
    assert (asked.num_images, asked.chain.steps) == (tree["sampling"]["num_images"], 20)
    inpainted = inpainting_job(tree, prior, tokenizer, latents)
    assert inpainted.variant == f"{prior.variant}.inpainted"
    assert parse(InpaintingConfig, inpainted.config).rule == "all_pixels"
    for job in (samples, inpainted):
        assert files_read(job, prior) == files_read(job, tokenizer) == ["model.safetensors", "config.json"]
    assert files_read(inpainted, latents) == ["validation_index.npy", "metadata.json"]
    features = samples_evaluation_job(tree, samples, samples)
    assert features.inputs["samples"] == samples.out


def test_how_sundae_is_sampled_does_not_touch_the_samples_of_a_transformer():
    jobs = []
    for steps in (20, 30):
        tree, tokenizer, latents = upstream(f"sampling.denoising.chain.steps={steps}", prior="gpt")
        jobs.append(sampling_job(tree, prior_job(tree, latents, None, {}), tokenizer))
    assert jobs[0] == jobs[1]
    assert parse(SamplingConfig, jobs[0].config).top_k == 16


def test_a_class_conditional_prior_is_named_for_it():
    tree, tokenizer, latents = upstream()
    classes = classes_job(tree, latents)
    assert (classes.variant, classes.config["map"]) == ("cifar10.class", "class")
    # They are those of the very images of the latents, flipped alike.
    assert classes.config.items() <= (latents.config | {"map": "class"}).items()
    data = data_job(tree)
    assert files_read(classes, data) == [name for name in data.files if "image" not in name and name != "splits.json"]
    prior = prior_job(tree, latents, classes, {})
    assert prior.variant == "cifar10.vqgan_f4.given_class.sundae.seed0"
    assert set(files_read(prior, classes)) == set(classes.files)
    samples = denoising_job(tree, prior, tokenizer, classes)
    assert files_read(samples, classes) == ["validation_index.npy", "metadata.json"]


@pytest.mark.parametrize("verb", ["priors.tune", "priors.train", "sampling.denoise", "sampling.inpaint"])
def test_every_verb_of_it_can_be_called_by_hand(verb):
    tree, _, latents = upstream()
    overrides = ("scale=smoke", "priors=sundae")
    job = asked(verb, overrides).job
    assert job.name == verb
    assert job.files == VERBS[verb].files
    if "prior" in job.inputs:
        assert job.inputs["prior"].startswith(prior_job(tree, latents, None, {}).out)
    by_class = asked(verb, (*overrides, "priors.condition=class")).job
    assert by_class.inputs["condition"] == classes_job(tree, latents).out


@pytest.mark.parametrize("scale", ["smoke", "laptop", "night", "workstation"])
def test_it_has_as_many_parameters_as_the_transformer(scale):
    def size(name):
        tree = composition.compose((f"scale={scale}", f"priors={name}"))
        with torch.device("meta"):
            tokens = TokenSpace(tree["tokenizers"]["quantizer"]["num_codes"], (8, 8))
            return num_parameters(build(parse(PriorConfig, tree["priors"]), tokens))

    assert size("sundae") == pytest.approx(size("gpt"), rel=0.05)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_describes_a_chain_and_a_model(scale):
    tree = composition.compose((f"scale={scale}", "priors=sundae"))
    assert parse(PriorConfig, tree["priors"]).sundae.shorten_factor == 4
    sampling = parse(SamplingConfig, tree["sampling"])
    for drawing in (sampling.denoising, sampling.inpainting):
        assert Schedule.of(drawing.chain).steps > drawing.chain.min_steps


def test_a_mistyped_key_is_named():
    with pytest.raises(TwostageError, match="depths"):
        composition.compose(("scale=smoke", "priors=sundae", "priors.sundae.depths=[1,2,1]"))
