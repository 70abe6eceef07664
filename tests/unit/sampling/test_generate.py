"""The verb `sampling.generate`: its files, its seeds, and every way in which its inputs may not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import together
from tests.unit.sampling.conftest import (
    GRID,
    NUM_CODES,
    NUM_CONDITION_CODES,
    OTHER_CODES,
    write_latents,
    write_prior,
    write_tokenizer,
)
from twostage import priors, tokenizers
from twostage.config.composition import parse
from twostage.config.schema import SamplingConfig
from twostage.errors import TwostageError
from twostage.latents.coordinates import coordinate_codes, coordinates_sha256
from twostage.latents.dataset import TokenSpace
from twostage.latents.orderings import ordering
from twostage.runtime.artifacts import read_array, read_json, write_json
from twostage.sampling import Draw, sample, slide, uniform_table
from twostage.sampling.generate import generate
from twostage.sampling.request import check_classes
from twostage.tokenizers import as_bytes
from twostage.tokenizers.model import Tokenizer, save


def run(job):
    generate(parse(SamplingConfig, job.config), job)
    return {name: read_array(job.folder / f"{name}.npy") for name in ("index", "samples")}


def table(number, num_tokens, seed=0):
    return uniform_table(number, num_tokens, torch.Generator().manual_seed(seed))


def test_it_writes_the_tokens_of_the_prior_and_their_images(make_job):
    job = make_job(top_k=8, temperature=0.9)
    out = run(job)
    model = priors.load(job.upstream("prior")).model
    expected = sample(model, table(5, 16), Draw(0.9, top_k=8))
    assert np.array_equal(out["index"], expected)
    assert out["index"].dtype == np.uint16
    images = as_bytes(tokenizers.load(job.upstream("tokenizer")).decode(expected))
    assert out["samples"].shape == (5, 16, 16, 3)
    assert np.abs(out["samples"].astype(int) - images).max() <= 1
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)


def test_processes_share_the_batches_and_change_no_image(make_job):
    # Three batches for two processes, the last one smaller.
    alone, shared = run(make_job("alone")), make_job("shared")
    assert together(2, generate, parse(SamplingConfig, shared.config), shared) == [None, None]
    assert sorted(path.name for path in shared.folder.iterdir()) == sorted(shared.files)
    assert all((read_array(shared.folder / f"{name}.npy") == array).all() for name, array in alone.items())
    assert read_json(shared.folder / "metrics.json")["seconds_per_image"] > 0


def test_the_grid_shows_the_first_images(make_job):
    job = make_job(grid_images=3)
    out = run(job)
    sheet = np.asarray(Image.open(job.folder / "grid.png"))
    assert sheet.shape == (2 * 16 + 2, 2 * 16 + 2, 3)
    assert np.array_equal(sheet[:16, 18:], out["samples"][1])
    assert np.array_equal(sheet[18:, :16], out["samples"][2])
    assert (sheet[18:, 18:] == 255).all()


def test_time_and_choices_are_recorded(make_job):
    job = make_job(top_p=0.9, seed=3, given=0.5, inputs=["latents"])
    write_latents(job.upstream("latents"), NUM_CODES, GRID)
    run(job)
    metrics = read_json(job.folder / "metrics.json")
    assert metrics["seconds_per_image"] == pytest.approx(
        metrics["drawing_seconds_per_image"] + metrics["decoding_seconds_per_image"]
    )
    # Half of each image was given: eight tokens were drawn.
    assert metrics["tokens_per_second"] == pytest.approx(8 / metrics["drawing_seconds_per_image"])
    chosen = ("num_images", "batch_size", "temperature", "top_k", "top_p", "seed", "threads")
    assert [metrics[name] for name in chosen] == [5, 2, 1.0, None, 0.9, 3, torch.get_num_threads()]
    assert metrics["class_names"] is None
    assert metrics["clock"] == "process CPU time"


def test_seeds_decide_and_batches_do_not(make_job):
    first = run(make_job("first"))
    assert np.array_equal(first["index"], run(make_job("second", batch_size=5))["index"])
    assert np.array_equal(first["index"][:3], run(make_job("fewer", num_images=3))["index"])
    assert not np.array_equal(first["index"], run(make_job("other", seed=1))["index"])
    again = make_job("again")
    run(again)
    assert (again.folder / "samples.npy").read_bytes() == (make_job("first").folder / "samples.npy").read_bytes()


def test_every_image_has_the_condition_of_its_own(make_job):
    job = make_job(prior="conditional", inputs=["condition"])
    condition = write_latents(job.upstream("condition"), NUM_CONDITION_CODES, GRID)
    out = run(job)
    model = priors.load(job.upstream("prior")).model
    condition_BS = torch.from_numpy(condition[:5].astype(np.int64)).flatten(1)
    assert np.array_equal(out["index"], sample(model, table(5, 16), Draw(), condition_BS))


def test_half_images_are_completed(make_job):
    job = make_job(given=0.5, inputs=["latents"])
    real = write_latents(job.upstream("latents"), NUM_CODES, GRID)
    out = run(job)
    assert np.array_equal(out["index"][:, :2], real[:5, :2])
    assert not np.array_equal(out["index"][:, 2:], real[:5, 2:])


def test_the_first_half_is_that_of_the_priors_order(make_job, tmp_path):
    write_prior(tmp_path / "prior", TokenSpace(NUM_CODES, GRID), ordering="spiral_out")
    job = make_job(given=0.5, inputs=["latents"])
    real_NT = write_latents(job.upstream("latents"), NUM_CODES, GRID)[:5].reshape(5, 16)
    index_NT = run(job)["index"].reshape(5, 16)
    order_T = ordering("spiral_out", *GRID)
    assert np.array_equal(index_NT[:, order_T[:8]], real_NT[:, order_T[:8]])
    assert not np.array_equal(index_NT[:, order_T[8:]], real_NT[:, order_T[8:]])
    with pytest.raises(TwostageError, match="row-major order"):
        run(make_job("wide", canvas=[5, 8]))


def test_a_larger_canvas_is_drawn_by_sliding_windows(make_job):
    job = make_job(canvas=[6, 9], prior="conditional", inputs=["condition"])
    condition = write_latents(job.upstream("condition"), NUM_CONDITION_CODES, (6, 9))
    out = run(job)
    assert out["samples"].shape == (5, 24, 36, 3)
    model = priors.load(job.upstream("prior")).model
    codes_BHW = torch.from_numpy(condition[:5].astype(np.int64))
    assert np.array_equal(out["index"], slide(model, table(5, 54), (6, 9), Draw(), codes_BHW))


@pytest.mark.parametrize("size", [(4, 4), (5, 8)])
def test_coordinates_condition_a_prior_of_coordinates(make_job, tmp_path, size):
    by_place = TokenSpace(NUM_CONDITION_CODES, GRID, map="coordinates")
    write_prior(tmp_path / "by_place", TokenSpace(NUM_CODES, GRID, by_place))
    job = make_job(canvas=list(size), prior="by_place", coordinates=True)
    model = priors.load(job.upstream("prior")).model
    codes_BHW = torch.from_numpy(coordinate_codes(size, 4, NUM_CONDITION_CODES)).expand(5, -1, -1)
    assert np.array_equal(run(job)["index"], slide(model, table(5, size[0] * size[1]), size, Draw(), codes_BHW))


def test_a_class_is_the_same_for_every_window(make_job, tmp_path):
    write_prior(tmp_path / "by_class", TokenSpace(NUM_CODES, GRID, TokenSpace(3, (1, 1))))
    job = make_job(canvas=[5, 6], prior="by_class", inputs=["condition"])
    classes = write_latents(job.upstream("condition"), 3, (1, 1))
    out = run(job)
    model = priors.load(job.upstream("prior")).model
    class_BS = torch.from_numpy(classes[:5].astype(np.int64)).flatten(1)
    assert np.array_equal(out["index"], slide(model, table(5, 30), (5, 6), Draw(), class_BS))


def write_classes(folder, names=("cat", "dog", "frog"), meaning="a"):
    write_latents(folder, len(names), (1, 1), of="class", meaning=meaning)
    write_json(folder / "metadata.json", read_json(folder / "metadata.json") | {"classes": list(names)})


def test_named_classes_come_in_turn_and_several_samples_share_one(make_job, tmp_path):
    write_prior(tmp_path / "by_class", TokenSpace(NUM_CODES, GRID, TokenSpace(3, (1, 1), map="class")))
    job = make_job(prior="by_class", inputs=["condition"], classes=["frog", "cat"], per_condition=2)
    write_classes(job.upstream("condition"))
    out = run(job)
    model = priors.load(job.upstream("prior")).model
    class_BS = torch.tensor([[2], [2], [0], [0], [2]])
    assert np.array_equal(out["index"], sample(model, table(5, 16), Draw(), class_BS))
    every = make_job("every", prior="by_class", inputs=["condition"], classes=[])
    expected = sample(model, table(5, 16), Draw(), torch.tensor([[0], [1], [2], [0], [1]]))
    assert np.array_equal(run(every)["index"], expected)
    metrics = read_json(every.folder / "metrics.json")
    assert (metrics["classes"], metrics["class_names"]) == ([], ["cat", "dog", "frog"])


def test_samples_share_the_conditions_and_beginnings_of_validation_images(make_job):
    job = make_job(prior="conditional", inputs=["condition", "latents"], per_condition=2, given=0.5)
    condition = write_latents(job.upstream("condition"), NUM_CONDITION_CODES, GRID)
    real = write_latents(job.upstream("latents"), NUM_CODES, GRID, seed=1)
    out = run(job)
    turn = [0, 0, 1, 1, 2]
    model = priors.load(job.upstream("prior")).model
    condition_BS = torch.from_numpy(condition[turn].astype(np.int64)).flatten(1)
    given_BG = torch.from_numpy(real[turn].astype(np.int64)).flatten(1)[:, :8]
    assert np.array_equal(out["index"], sample(model, table(5, 16), Draw(), condition_BS, given_BG))
    # As many conditions as are needed, not as samples.
    write_latents(job.upstream("condition"), NUM_CONDITION_CODES, GRID, number=3)
    run(make_job("fewer", prior="conditional", inputs=["condition"], per_condition=2))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            ["zebra", "cat"],
            "names zebra, not among the prior's 3 classes; they are cat, dog, frog: choose from its classes",
        ),
        ([], "holds codes of class, but the prior was trained with codes of edges"),
    ],
)
def test_a_class_or_condition_that_the_prior_does_not_know_is_named(make_job, tmp_path, classes, message):
    known = "class" if classes else "edges"
    write_prior(tmp_path / "by_class", TokenSpace(NUM_CODES, GRID, TokenSpace(3, (1, 1), map=known)))
    job = make_job(prior="by_class", inputs=["condition"], classes=classes or None)
    write_classes(job.upstream("condition"))
    with pytest.raises(TwostageError, match=message):
        run(job)
    assert not job.folder.exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["class 7", "clas 70"], "names clas 70, not among the prior's 1000 classes; similar names are class 70"),
        (["xyz"], "names xyz, not among .*; they are class 0, class 1, class 2, class 3, class 4, ...: choose"),
        (
            list("abcdefg"),
            r"names a, b, c, d, e, \.\.\., not among the prior's 1000 classes; they are class 0",
        ),
    ],
)
def test_of_many_classes_the_unknown_and_those_near_to_them_are_named(asked, message):
    with pytest.raises(TwostageError, match=message) as caught:
        check_classes(asked, [f"class {n}" for n in range(1000)])
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_another_number_of_classes_is_said_in_classes(make_job, tmp_path):
    write_prior(tmp_path / "by_class", TokenSpace(NUM_CODES, GRID, TokenSpace(10, (1, 1), map="class")))
    job = make_job(prior="by_class", inputs=["condition"], classes=["cat"])
    write_classes(job.upstream("condition"))
    with pytest.raises(
        TwostageError,
        match="condition holds the 3 classes of dataset d, but the prior was trained with 10; use the classes",
    ):
        run(job)


def test_classes_for_a_prior_of_another_condition_are_refused(make_job):
    job = make_job(prior="conditional", inputs=["condition"], classes=["cat"])
    write_classes(job.upstream("condition"))
    with pytest.raises(TwostageError, match="names cat; the condition of the prior is image: leave it null"):
        run(job)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"top_k": 17}, r"top_k=17 is larger than the vocabulary of 16 codes"),
        ({"top_p": 1.2}, r"top_p is 1\.2; set a number from 0 to 1"),
        ({"temperature": -1.0}, r"temperature is -1\.0; set a number of at least 0"),
        ({"canvas": [3, 9]}, "the window is larger than the canvas"),
        ({"canvas": [9]}, r"sampling\.canvas=\[9\] is not \[rows, columns\]"),
        ({"num_images": 0}, "num_images is 0; set a number of at least 1"),
        ({"per_condition": 0}, "per_condition is 0; set a number of at least 1"),
        ({"given": 1.0}, r"sampling\.given=1\.0 must be in \[0, 1\)"),
        ({"given": 0.5}, "needs real images"),
        ({"coordinates": True}, "takes no condition"),
        ({"inputs": ["condition"]}, "takes no condition"),
        ({"classes": []}, "names all classes; the condition of the prior is nothing: leave it null"),
        ({"prior": "conditional"}, "the prior is conditional; give the job an input `condition`"),
        (
            {"prior": "conditional", "coordinates": True},
            r"sampling\.coordinates=true, but the prior .* condition image",
        ),
        ({"prior": "conditional", "coordinates": True, "inputs": ["condition"]}, "a prior has one condition"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_writes_nothing(make_job, changes, named):
    job = make_job(**changes)
    with pytest.raises(TwostageError, match=named):
        run(job)
    assert not job.folder.exists()


def test_a_tokenizer_of_another_vocabulary_is_refused(make_job, tmp_path):
    write_prior(tmp_path / "prior", TokenSpace(15, GRID))
    with pytest.raises(TwostageError, match=r"another vocabulary: the prior has 15 codes, the tokenizer 16; use"):
        run(make_job())


def test_a_tokenizer_of_other_codes_is_refused(make_job, tmp_path):
    meaning = write_tokenizer(tmp_path / "tokenizer")
    write_prior(tmp_path / "prior", TokenSpace(NUM_CODES, GRID, tokenizer_sha256=meaning))
    run(make_job("own"))
    write_tokenizer(tmp_path / "tokenizer", seed=1)
    job = make_job("other")
    with pytest.raises(TwostageError, match="tokenizer " + OTHER_CODES.format("image")):
        run(job)
    assert not job.folder.exists()


def assert_refused_unless_own(make_job, write, changes, kind):
    """The job draws from inputs that `write` made of codes of their own meaning, and refuses those of another."""
    write("a")
    run(make_job("own", **changes))
    write("b")
    job = make_job("other", **changes)
    with pytest.raises(TwostageError, match=OTHER_CODES.format(kind)) as caught:
        run(job)
    assert "\n" not in str(caught.value)
    assert not job.folder.exists()


def test_conditions_of_other_codes_are_refused(make_job, tmp_path):
    edges = TokenSpace(NUM_CONDITION_CODES, GRID, map="edges", tokenizer_sha256="a")
    write_prior(tmp_path / "by_edges", TokenSpace(NUM_CODES, GRID, edges))

    def write(meaning):
        write_latents(tmp_path / "condition", NUM_CONDITION_CODES, GRID, of="edges", meaning=meaning)

    assert_refused_unless_own(make_job, write, {"prior": "by_edges", "inputs": ["condition"]}, "edges")


@pytest.mark.parametrize("classes", [None, [], ["cat"]])
def test_classes_of_another_dataset_are_refused(make_job, tmp_path, classes):
    """Also where they have the names that are asked for: what stands behind them need not be the same number."""
    by_class = TokenSpace(3, (1, 1), map="class", tokenizer_sha256="a")
    write_prior(tmp_path / "by_class", TokenSpace(NUM_CODES, GRID, by_class))

    def write(meaning):
        write_classes(tmp_path / "condition", meaning=meaning)

    assert_refused_unless_own(
        make_job, write, {"prior": "by_class", "inputs": ["condition"], "classes": classes}, "class"
    )


def test_beginnings_of_other_codes_are_refused(make_job, tmp_path):
    meaning = write_tokenizer(tmp_path / "tokenizer")
    write_prior(tmp_path / "prior", TokenSpace(NUM_CODES, GRID, tokenizer_sha256=meaning))

    def write(which):
        write_latents(tmp_path / "latents", NUM_CODES, GRID, meaning=meaning if which == "a" else which)

    assert_refused_unless_own(make_job, write, {"inputs": ["latents"], "given": 0.5}, "image")


def test_coordinates_of_another_factor_are_refused(make_job, tmp_path):
    def write(meaning):
        sha256 = coordinates_sha256({"a": 4, "b": 8}[meaning], NUM_CONDITION_CODES)
        by_place = TokenSpace(NUM_CONDITION_CODES, GRID, map="coordinates", tokenizer_sha256=sha256)
        write_prior(tmp_path / "by_place", TokenSpace(NUM_CODES, GRID, by_place))

    assert_refused_unless_own(make_job, write, {"prior": "by_place", "coordinates": True}, "coordinates")


def test_too_few_condition_images_are_counted(make_job):
    job = make_job(prior="conditional", inputs=["condition"])
    write_latents(job.upstream("condition"), NUM_CONDITION_CODES, GRID, number=4)
    with pytest.raises(TwostageError, match=r"num_images=5, but .*condition has 4 validation images"):
        run(job)


@pytest.mark.parametrize(("num_codes", "grid"), [(NUM_CONDITION_CODES + 1, GRID), (NUM_CONDITION_CODES, (2, 2))])
def test_conditions_of_another_kind_are_refused(make_job, num_codes, grid):
    job = make_job(prior="conditional", inputs=["condition"])
    write_latents(job.upstream("condition"), num_codes, grid)
    with pytest.raises(TwostageError, match=r"expected 7 on \(4, 4\)"):
        run(job)


def test_an_imported_prior_is_refused(make_job, tmp_path):
    from twostage.config.schema import GPTConfig
    from twostage.priors.gpt import ReleasedGPT
    from twostage.priors.model import released_format, store

    config = GPTConfig(8, 1, 2, 0.0)
    store(tmp_path / "prior", released_format(config, 16, 16), ReleasedGPT(config, 16, 16).state_dict())
    with pytest.raises(TwostageError, match="is an imported prior"):
        run(make_job())


def test_a_tokenizer_of_labels_is_refused(make_job, tmp_path):
    from tests.unit.tokenizers.conftest import small_config

    config = small_config(map="segmentation", loss__reconstruction="cross_entropy")
    save(Tokenizer(config, "labels", 5), tmp_path / "tokenizer")
    with pytest.raises(TwostageError, match="label maps"):
        run(make_job())


def test_a_missing_prior_is_named(make_job, tmp_path):
    (tmp_path / "prior/config.json").unlink()
    with pytest.raises(TwostageError, match=r"config\.json is missing"):
        run(make_job())
    write_json(tmp_path / "prior/config.json", {"format": "older"})
    with pytest.raises(TwostageError, match="train it again"):
        run(make_job())


def test_a_prior_that_does_not_say_what_its_codes_mean_is_of_an_earlier_version(make_job, tmp_path):
    stored = read_json(tmp_path / "prior/config.json")
    del stored["tokens"]["tokenizer_sha256"]
    write_json(tmp_path / "prior/config.json", stored)
    with pytest.raises(
        TwostageError, match=r"prior/config\.json is not the config .* this version; train it again, or import it"
    ):
        run(make_job())
