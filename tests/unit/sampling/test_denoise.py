"""The verbs `sampling.denoise` and `sampling.inpaint`: their files, and every way in which inputs may not fit."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.priors.conftest import prior_config
from tests.unit.sampling.conftest import GRID, NUM_CODES, OTHER_CODES, run, write_latents, write_tokenizer
from tests.unit.tokenizers.conftest import small_config
from twostage import priors, tokenizers
from twostage.config.schema import ChainConfig, DenoisingConfig, InpaintingConfig, SundaeConfig
from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinate_codes
from twostage.latents.dataset import TokenSpace
from twostage.planning.verbs import VERBS
from twostage.priors.model import store, trained_format
from twostage.priors.sundae import Sundae
from twostage.runtime.artifacts import read_array, read_json, write_json
from twostage.runtime.job import Job
from twostage.sampling.autoregressive import fill
from twostage.sampling.denoise import Changes
from twostage.sampling.denoising import Schedule, Streams, denoise
from twostage.sampling.draw import Draw
from twostage.sampling.masks import generated_mask
from twostage.tokenizers import as_bytes
from twostage.tokenizers.model import save

CHAIN = ChainConfig(6, 2, 1.0, 0.5, 0.5, 0.8)
NUM_CLASSES, NUM_EDGES = 3, 7


def write_sundae(folder, tokens):
    torch.manual_seed(0)
    model = Sundae(SundaeConfig(16, 2, 8, [1, 1, 1], 4, "patches", "axial", 0.0, 2), tokens)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.4)
    store(folder, trained_format(prior_config("sundae", sundae=model.config), tokens), model.state_dict())


@pytest.fixture
def make(make_job, tmp_path):
    """A job over the small tokenizer (16 codes, f = 4) and a small SUNDAE (4x4 tokens), with changes to its config."""
    make_job()
    write_sundae(tmp_path / "sundae", TokenSpace(NUM_CODES, GRID))
    write_sundae(tmp_path / "by_map", TokenSpace(NUM_CODES, GRID, TokenSpace(NUM_EDGES, GRID, map="edges")))
    write_sundae(tmp_path / "by_class", TokenSpace(NUM_CODES, GRID, TokenSpace(NUM_CLASSES, (1, 1), map="class")))

    def new(verb, variant="v", prior="sundae", inputs=(), chain=(), **changes):
        match verb:
            case "denoise":
                amount = {"num_images": 5, "batch_size": 2, "grid_images": 4, "seed": 0}
                config = asdict(DenoisingConfig(**amount, chain=CHAIN, film_images=3, film_frames=4))
            case "inpaint":
                config = asdict(InpaintingConfig(3, 4, 5, CHAIN, "block", 0.5, None, "all_pixels", 0))
        config |= changes | {"chain": config["chain"] | dict(chain)}
        names = {"prior": prior, "tokenizer": "tokenizer"} | {name: name for name in inputs}
        folders = {name: str(tmp_path / folder) for name, folder in names.items()}
        files = VERBS[f"sampling.{verb}"].files
        return Job("sampling", verb, variant, "smoke", config, folders, str(tmp_path / variant), files)

    return new


def test_it_writes_the_codes_of_the_prior_and_their_images(make):
    job = make("denoise")
    out = run(job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    model = priors.load(job.upstream("prior")).model
    expected = denoise(model, Schedule.of(CHAIN), Streams(0, range(5))).index_BT.unflatten(1, GRID)
    assert np.array_equal(out["index.npy"], expected)
    assert out["index.npy"].dtype == np.uint16
    images = as_bytes(tokenizers.load(job.upstream("tokenizer")).decode(expected))
    assert np.abs(out["samples.npy"].astype(int) - images).max() <= 1
    assert np.asarray(Image.open(job.folder / "grid.png")).shape == (34, 34, 3)


def test_the_film_goes_from_noise_to_the_images(make):
    job = make("denoise", film_frames=7)
    out = run(job)
    metrics = read_json(job.folder / "metrics.json")
    assert metrics["film_steps"] == list(range(7))
    assert out["film.npy"].shape == (7, 3, 16, 16, 3)
    assert np.abs(out["film.npy"][-1].astype(int) - out["samples.npy"][:3]).max() <= 1
    noise = torch.stack([Streams(0, range(3)).codes(NUM_CODES, 16)]).view(3, *GRID)
    first = as_bytes(tokenizers.load(job.upstream("tokenizer")).decode(noise))
    assert np.abs(out["film.npy"][0].astype(int) - first).max() <= 1
    assert (out["film.npy"][1] != out["film.npy"][0]).any()


def test_every_step_tells_how_many_tokens_it_changes(make):
    job = make("denoise", chain={"min_steps": 6, "proportion_start": 1.0, "proportion_end": 1.0})
    run(job)
    metrics, states = read_json(job.folder / "metrics.json"), []
    model = priors.load(job.upstream("prior")).model
    schedule = Schedule.of(ChainConfig(**job.config["chain"]))
    denoise(model, schedule, Streams(0, range(5)), watch=lambda step, index_BT: states.append(index_BT.clone()))
    expected = [float((after != before).float().mean()) for before, after in pairwise(states)]
    assert metrics["changed_share_by_step"] == pytest.approx(expected)
    assert metrics["changed_share_in_second_half"] == pytest.approx(sum(expected[3:]) / 3)
    assert 0 < min(expected) < max(expected) <= 1


def test_steps_after_the_end_of_a_batch_change_nothing():
    changes, index_BT = Changes(4), torch.zeros(2, 8, dtype=torch.int64)
    for batch in range(2):
        index_BT.zero_()
        for step in range(3 - batch):
            # In place, as chains do.
            index_BT[:, :step] = 7
            changes.see(step, index_BT)
    assert changes.share_by_step(4 * 8) == [4 / 32, 2 / 32, 0, 0]


def test_time_and_choices_are_recorded(make):
    job = make("denoise", seed=3)
    run(job)
    metrics = read_json(job.folder / "metrics.json")
    assert metrics["tokens_per_second"] == pytest.approx(16 / metrics["drawing_seconds_per_image"])
    assert metrics["seconds_per_image"] == pytest.approx(
        metrics["drawing_seconds_per_image"] + metrics["decoding_seconds_per_image"]
    )
    chosen = ("num_images", "steps", "min_steps", "temperature", "proportion", "seed")
    assert [metrics[name] for name in chosen] == [5, 6, 2, [1.0, 0.5], [0.5, 0.8], 3]
    assert 3 <= metrics["mean_steps_per_image"] <= 6
    # What evaluations of samples read, whichever prior they came from.
    assert {"tokens_per_image", "batch_size", "top_k", "window", "clock", "seconds_per_image"} <= set(metrics)


def test_seeds_decide_and_batches_do_not(make):
    first = run(make("denoise", "first"))["index.npy"]
    assert np.array_equal(first, run(make("denoise", "second", batch_size=5))["index.npy"])
    assert np.array_equal(first[:3], run(make("denoise", "fewer", num_images=3))["index.npy"])
    assert not np.array_equal(first, run(make("denoise", "other", seed=1))["index.npy"])


def test_every_image_has_the_class_of_a_held_out_one(make):
    job = make("denoise", prior="by_class", inputs=["condition"])
    class_N = write_latents(job.upstream("condition"), NUM_CLASSES, (1, 1), of="class")[:5].reshape(5)
    model = priors.load(job.upstream("prior")).model
    class_N1 = torch.from_numpy(class_N.astype(np.int64))[:, None]
    expected = denoise(model, Schedule.of(CHAIN), Streams(0, range(5)), class_N1)
    assert np.array_equal(run(job)["index.npy"].reshape(5, 16), expected.index_BT)


def test_samples_share_the_maps_of_held_out_images(make):
    job = make("denoise", prior="by_map", inputs=["condition"], per_condition=2)
    map_Nhw = write_latents(job.upstream("condition"), NUM_EDGES, GRID, of="edges")
    map_NS = torch.from_numpy(map_Nhw.astype(np.int64)).flatten(1)[[0, 0, 1, 1, 2]]
    model = priors.load(job.upstream("prior")).model
    expected = denoise(model, Schedule.of(CHAIN), Streams(0, range(5)), map_NS)
    assert np.array_equal(run(job)["index.npy"].reshape(5, 16), expected.index_BT)
    metrics = read_json(job.folder / "metrics.json")
    assert (metrics["conditional"], metrics["per_condition"], metrics["given_tokens_per_image"]) == (True, 2, 0)


def test_named_classes_come_in_turn(make):
    job = make("denoise", prior="by_class", inputs=["condition"], classes=["cat", "ant"])
    write_latents(job.upstream("condition"), NUM_CLASSES, (1, 1), of="class")
    metadata = read_json(job.upstream("condition") / "metadata.json")
    write_json(job.upstream("condition") / "metadata.json", metadata | {"classes": ["ant", "bee", "cat"]})
    model = priors.load(job.upstream("prior")).model
    expected = denoise(model, Schedule.of(CHAIN), Streams(0, range(5)), torch.tensor([[2], [0], [2], [0], [2]]))
    assert np.array_equal(run(job)["index.npy"].reshape(5, 16), expected.index_BT)
    assert read_json(job.folder / "metrics.json")["class_names"] == ["ant", "bee", "cat"]


def test_a_picture_conditions_every_sample(make, tmp_path):
    torch.manual_seed(1)
    config = small_config(map="segmentation", loss__reconstruction="cross_entropy")
    save(tokenizers.Tokenizer(config, "labels", 5), tmp_path / "condition_tokenizer")
    write_sundae(tmp_path / "by_layout", TokenSpace(NUM_CODES, GRID, TokenSpace(NUM_CODES, GRID, map="segmentation")))
    label_HW = np.random.default_rng(0).integers(0, 5, (16, 16)).astype(np.uint8)
    Image.fromarray(label_HW).save(tmp_path / "map.png")
    file = str(tmp_path / "map.png")
    job = make("denoise", prior="by_layout", inputs=["condition_tokenizer"], condition_file=file)
    of_map = tokenizers.load(tmp_path / "condition_tokenizer")
    map_NS = of_map.encode(of_map.prepare(label_HW[None, ..., None])).flatten(1).expand(5, -1)
    model = priors.load(job.upstream("prior")).model
    expected = denoise(model, Schedule.of(CHAIN), Streams(0, range(5)), map_NS)
    assert np.array_equal(run(job)["index.npy"].reshape(5, 16), expected.index_BT)


def test_places_condition_every_sample_alike(make, tmp_path):
    write_sundae(tmp_path / "by_place", TokenSpace(NUM_CODES, GRID, TokenSpace(9, GRID, map="coordinates")))
    place_NS = torch.from_numpy(coordinate_codes(GRID, 4, 9)).reshape(1, 16).expand(5, -1)
    model = priors.load(tmp_path / "by_place").model
    expected = denoise(model, Schedule.of(CHAIN), Streams(0, range(5)), place_NS)
    job = make("denoise", prior="by_place", coordinates=True)
    assert np.array_equal(run(job)["index.npy"].reshape(5, 16), expected.index_BT)


def test_what_is_filled_has_the_map_of_its_image(make):
    job = make("inpaint", prior="by_map", inputs=["latents", "condition"])
    real = write_latents(job.upstream("latents"), NUM_CODES, GRID)
    map_Nhw = write_latents(job.upstream("condition"), NUM_EDGES, GRID, seed=1, of="edges")
    redrawn_BT = np.tile(run(job)["code_mask.npy"].ravel(), (12, 1))
    real_BT, map_BS = (torch.from_numpy(codes[:3].astype(np.int64)).flatten(1).repeat_interleave(4, 0)
                       for codes in (real, map_Nhw))  # fmt: skip
    model = priors.load(job.upstream("prior")).model
    expected = denoise(model, Schedule.of(CHAIN), Streams(0, range(12)), map_BS, real_BT, redrawn_BT)
    assert np.array_equal(read_array(job.folder / "index.npy").reshape(12, 16), expected.index_BT)


def test_inpainting_keeps_all_codes_but_the_masked_ones_and_gives_several_results(make):
    job = make("inpaint", inputs=["latents"])
    real = write_latents(job.upstream("latents"), NUM_CODES, GRID)[:3]
    out = run(job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    masked = out["code_mask.npy"]
    assert 0 < masked.sum() < masked.size
    result_NRhw = out["index.npy"].reshape(3, 4, *GRID)
    assert (result_NRhw[:, :, ~masked] == real[:, None, ~masked]).all()
    assert (result_NRhw[:, :, masked] != real[:, None, masked]).mean() > 0.5
    first, *others = result_NRhw.swapaxes(0, 1)
    assert all((first != other).any() for other in others)
    originals = as_bytes(tokenizers.load(job.upstream("tokenizer")).decode(torch.from_numpy(real.astype(np.int64))))
    assert np.abs(out["originals.npy"].astype(int) - originals).max() <= 1
    # A row an image: the original, the masked one, four results.
    assert np.asarray(Image.open(job.folder / "grid.png")).shape == (3 * 18 - 2, 6 * 18 - 2, 3)


def test_a_prior_that_draws_token_by_token_fills_masks_too(make):
    job = make("inpaint", prior="prior", inputs=["latents"], temperature=0.7)
    real = write_latents(job.upstream("latents"), NUM_CODES, GRID)[:3]
    out = run(job)
    masked = out["code_mask.npy"]
    result_NRhw = out["index.npy"].reshape(3, 4, *GRID)
    assert (result_NRhw[:, :, ~masked] == real[:, None, ~masked]).all()
    assert (result_NRhw[:, :, masked] != real[:, None, masked]).any()
    metrics = read_json(job.folder / "metrics.json")
    assert (metrics["temperature"], metrics["steps"]) == (0.7, 16)
    given_BT = torch.from_numpy(real.astype(np.int64)).flatten(1).repeat_interleave(4, 0)
    model = priors.load(job.upstream("prior")).model
    expected = fill(model, Draw(0.7), Streams(0, range(12)), None, given_BT, np.tile(masked.ravel(), (12, 1)))
    assert np.array_equal(out["index.npy"].reshape(12, 16), expected.index_BT)


def test_the_rule_decides_which_codes_a_mask_means(make, tmp_path):
    byte_HW = np.zeros((16, 16), np.uint8)
    byte_HW[:6, :6] = 255
    Image.fromarray(byte_HW).save(tmp_path / "mask.png")
    for rule, number in (("all_pixels", 1), ("any_pixel", 4)):
        job = make("inpaint", rule, inputs=["latents"], mask="file", mask_file=str(tmp_path / "mask.png"), rule=rule)
        real = write_latents(job.upstream("latents"), NUM_CODES, GRID)[:3]
        out = run(job)
        assert np.array_equal(out["mask.npy"], byte_HW > 0)
        assert out["code_mask.npy"].sum() == number
        assert read_json(job.folder / "metrics.json")["given_tokens_per_image"] == 16 - number
        changed = (out["index.npy"].reshape(3, 4, *GRID) != real[:, None]).any((0, 1))
        assert np.array_equal(changed, out["code_mask.npy"])


@pytest.mark.parametrize("mask", ["random", "half", "outpainting"])
def test_every_generated_mask_is_filled_and_the_rest_kept(make, mask):
    job = make("inpaint", inputs=["latents"], mask=mask, rule="any_pixel")
    real = write_latents(job.upstream("latents"), NUM_CODES, GRID)[:3]
    out = run(job)
    mask_HW = generated_mask(mask, (16, 16), 0.5, np.random.default_rng(0))
    assert np.array_equal(out["mask.npy"], mask_HW)
    changed_hw = (out["index.npy"].reshape(3, 4, *GRID) != real[:, None]).any((0, 1))
    assert np.array_equal(changed_hw, out["code_mask.npy"])
    assert np.array_equal(changed_hw, mask_HW.reshape(4, 4, 4, 4).any((1, 3)))


@pytest.mark.parametrize(
    ("verb", "changes", "named"),
    [
        ("denoise", {"num_images": 0}, "num_images is 0; set a number of at least 1"),
        ("denoise", {"film_frames": 1}, "film_frames 2 or more"),
        ("denoise", {"chain": {"min_steps": 7}}, "min_steps at most steps"),
        ("denoise", {"chain": {"temperature_end": 0.0}}, "must be positive"),
        ("denoise", {"chain": {"proportion_start": 1.5}}, r"proportion_start is 1\.5; set a number from 0 to 1"),
        ("denoise", {"prior": "prior"}, "draws token by token; use sampling.generate"),
        ("denoise", {"inputs": ["condition"]}, "takes no condition"),
        ("denoise", {"per_condition": 0}, "per_condition is 0; set a number of at least 1"),
        ("denoise", {"prior": "by_class"}, "the prior is conditional; give the job an input `condition`"),
        ("denoise", {"prior": "by_map", "inputs": ["condition"]}, "holds 3 codes on grids .* expected 7 on"),
        ("denoise", {"prior": "by_map", "coordinates": True}, "was trained with the condition edges"),
        ("inpaint", {"prior": "prior"}, "draws token by token; use sampling.generate"),
        ("inpaint", {"prior": "by_map"}, "an input `condition` of the images' codes of edges"),
        ("denoise", {"prior": "by_class", "inputs": ["condition"]}, "holds codes of edges, but the prior .* class"),
        ("inpaint", {"results": 0}, "results is 0; set a number of at least 1"),
        ("inpaint", {"mask": "ring"}, "mask is ring; choose one of block, random, half"),
        ("inpaint", {"mask": "file"}, "set sampling.inpainting.mask_file"),
        ("inpaint", {"mask": "file", "mask_file": "none.png"}, "is missing or not a picture"),
        ("inpaint", {"num_images": 11}, "has 10 validation images"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_writes_nothing(make, tmp_path, verb, changes, named):
    write_latents(tmp_path / "latents", NUM_CODES, GRID)
    write_latents(tmp_path / "condition", NUM_CLASSES, (1, 1), of="edges")
    inputs = ["latents"] if verb == "inpaint" else changes.get("inputs", [])
    job = make(verb, **{**changes, "inputs": inputs})
    with pytest.raises(TwostageError, match=named):
        run(job)
    assert not job.folder.exists()


@pytest.mark.parametrize(
    ("verb", "inputs", "other", "kind"),
    [
        ("denoise", ["condition"], "tokenizer", "image"),
        ("denoise", ["condition"], "condition", "class"),
        ("inpaint", ["condition", "latents"], "tokenizer", "image"),
        ("inpaint", ["condition", "latents"], "condition", "class"),
        ("inpaint", ["condition", "latents"], "latents", "image"),
    ],
)
def test_codes_that_mean_other_things_are_refused(make, tmp_path, verb, inputs, other, kind):
    of_class = TokenSpace(NUM_CLASSES, (1, 1), map="class", tokenizer_sha256="a")
    own = write_tokenizer(tmp_path / "tokenizer")
    write_sundae(tmp_path / "by_class", TokenSpace(NUM_CODES, GRID, of_class, tokenizer_sha256=own))
    write_latents(tmp_path / "condition", NUM_CLASSES, (1, 1), of="class")
    write_latents(tmp_path / "latents", NUM_CODES, GRID, meaning=own)
    run(make(verb, "own", "by_class", inputs))
    match other:
        case "tokenizer":
            write_tokenizer(tmp_path / "tokenizer", seed=1)
        case "condition":
            write_latents(tmp_path / "condition", NUM_CLASSES, (1, 1), of="class", meaning="b")
        case "latents":
            write_latents(tmp_path / "latents", NUM_CODES, GRID, meaning="b")
    job = make(verb, "other", "by_class", inputs)
    with pytest.raises(TwostageError, match=f"{other} " + OTHER_CODES.format(kind)):
        run(job)
    assert not job.folder.exists()


def test_a_sundae_prior_is_not_sampled_token_by_token(make_job, make):
    from tests.unit.sampling.test_generate import run as generate

    with pytest.raises(TwostageError, match=r"use sampling\.denoise"):
        generate(make_job(prior="sundae"))
