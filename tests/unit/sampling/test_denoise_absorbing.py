"""The verbs `sampling.denoise` and `sampling.inpaint` with an absorbing prior."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from tests.unit.sampling.conftest import GRID, NUM_CODES, run, write_large_prior, write_latents
from twostage import priors, tokenizers
from twostage.config.schema import ChainConfig, DenoisingConfig, InpaintingConfig, UnmaskingConfig
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_json
from twostage.runtime.job import Job
from twostage.sampling.draw import Draw
from twostage.sampling.unmasking import unmask
from twostage.sampling.whole import Streams
from twostage.tokenizers import as_bytes


@pytest.fixture
def make(make_job, tmp_path):
    make_job()
    write_large_prior(tmp_path / "absorbing", "absorbing")
    write_large_prior(tmp_path / "by_class", "absorbing", TokenSpace(3, (1, 1), map="class"))

    def new(verb, variant="v", prior="absorbing", inputs=(), unmasking=(5, 0.8), **changes):
        how = {"chain": None, "unmasking": UnmaskingConfig(*unmasking)}
        match verb:
            case "denoise":
                amount = {"num_images": 5, "batch_size": 2, "grid_images": 4, "seed": 0}
                config = asdict(DenoisingConfig(**amount, **how, film_images=3, film_frames=6))
            case "inpaint":
                config = asdict(InpaintingConfig(3, 4, 5, None, "block", 0.5, None, "all_pixels", 0, how["unmasking"]))
        names = {"prior": prior, "tokenizer": "tokenizer"} | {name: name for name in inputs}
        folders = {name: str(tmp_path / folder) for name, folder in names.items()}
        files = VERBS[f"sampling.{verb}"].files
        return Job("sampling", verb, variant, "smoke", config | changes, folders, str(tmp_path / variant), files)

    return new


def test_it_writes_the_codes_of_the_prior_and_how_they_were_drawn(make):
    job = make("denoise")
    out = run(job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    model = priors.load(job.upstream("prior")).model
    expected = unmask(model, 5, Draw(0.8), Streams(0, range(5)))
    assert np.array_equal(out["index.npy"], expected.index_BT.unflatten(1, GRID))
    metrics = read_json(job.folder / "metrics.json")
    assert (metrics["steps"], metrics["temperature"]) == (5, 0.8)
    assert metrics["mean_steps_per_image"] == expected.steps_B.mean()
    assert "proportion" not in metrics
    assert {"tokens_per_image", "batch_size", "top_k", "window", "clock", "seconds_per_image"} <= set(metrics)


def test_every_token_is_drawn_once(make):
    job = make("denoise")
    run(job)
    assert sum(read_json(job.folder / "metrics.json")["changed_share_by_step"]) == pytest.approx(1)


def test_the_film_goes_from_grey_to_the_images(make):
    job = make("denoise")
    out = run(job)
    film = out["film.npy"]
    assert read_json(job.folder / "metrics.json")["film_steps"] == list(range(6))
    assert (film[0] == 128).all()
    assert np.abs(film[-1].astype(int) - out["samples.npy"][:3]).max() <= 1
    grey_F = [(frame == 128).all(-1).mean() for frame in film]
    assert grey_F == sorted(grey_F, reverse=True)


def test_no_number_of_steps_means_one_a_token(make):
    job = make("denoise", unmasking=(None, 1.0))
    run(job)
    assert read_json(job.folder / "metrics.json")["steps"] == 16


def test_seeds_decide_and_batches_do_not(make):
    first = run(make("denoise", "first"))["index.npy"]
    assert np.array_equal(first, run(make("denoise", "second", batch_size=5))["index.npy"])
    assert np.array_equal(first[:3], run(make("denoise", "fewer", num_images=3))["index.npy"])
    assert not np.array_equal(first, run(make("denoise", "other", seed=1))["index.npy"])


def test_every_image_has_the_class_of_a_held_out_one(make):
    job = make("denoise", prior="by_class", inputs=["condition"])
    class_N = write_latents(job.upstream("condition"), 3, (1, 1), of="class")[:5].reshape(5)
    model = priors.load(job.upstream("prior")).model
    class_N1 = torch.from_numpy(class_N.astype(np.int64))[:, None]
    expected = unmask(model, 5, Draw(0.8), Streams(0, range(5)), class_N1)
    assert np.array_equal(run(job)["index.npy"].reshape(5, 16), expected.index_BT)


def test_inpainting_keeps_all_codes_but_the_masked_ones_and_gives_several_results(make):
    job = make("inpaint", inputs=["latents"])
    real = write_latents(job.upstream("latents"), NUM_CODES, GRID)[:3]
    out = run(job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    masked = out["code_mask.npy"]
    result_NRhw = out["index.npy"].reshape(3, 4, *GRID)
    assert (result_NRhw[:, :, ~masked] == real[:, None, ~masked]).all()
    assert (result_NRhw[:, :, masked] != real[:, None, masked]).mean() > 0.5
    first, *others = result_NRhw.swapaxes(0, 1)
    assert all((first != other).any() for other in others)
    originals = as_bytes(tokenizers.load(job.upstream("tokenizer")).decode(torch.from_numpy(real.astype(np.int64))))
    assert np.abs(out["originals.npy"].astype(int) - originals).max() <= 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"unmasking": (17, 1.0)}, r"unmasking\.steps=17, but an image has 16 tokens"),
        ({"unmasking": (5, 0.0)}, r"temperature is 0\.0; set a number above 0"),
        ({"prior": "prior"}, "draws token by token; use sampling.generate"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_writes_nothing(make, changes, named):
    job = make("denoise", **changes)
    with pytest.raises(TwostageError, match=named):
        run(job)
    assert not job.folder.exists()


def test_a_job_that_says_how_another_kind_of_prior_draws_is_refused(make):
    chain = asdict(ChainConfig(6, 2, 1.0, 0.5, 0.5, 0.8))
    job = make("denoise")
    job.config.update(chain=chain, unmasking=None)
    with pytest.raises(TwostageError, match="run it with priors=absorbing"):
        run(job)


def test_it_is_not_sampled_token_by_token(make_job, make):
    from tests.unit.sampling.test_generate import run as generate

    with pytest.raises(TwostageError, match=r"priors=absorbing, .* use sampling\.denoise"):
        generate(make_job(prior="absorbing"))
