"""`import twostage`: its examples, what its pictures equal, and what it refuses."""

import doctest
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import twostage
from tests.models import write_model
from tests.unit.sampling.conftest import GRID, NUM_CODES, write_prior, write_tokenizer
from twostage import api
from twostage.commands.dispatch import config_of, work_of
from twostage.config.composition import compose, parse
from twostage.errors import TwostageError
from twostage.latents.dataset import TokenSpace
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_array
from twostage.runtime.job import Job
from twostage.tokenizers import tiles

pytestmark = pytest.mark.usefixtures("repository_conf")
BLACK = np.zeros((2, 16, 16, 3), np.uint8)
RIGHT = np.arange(16)[None].repeat(16, 0) >= 8


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """The folders of the examples: `model` and `sundae`."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model", "gpt")
    write_model(tmp_path / "sundae", "sundae")
    return tmp_path


def parts(model):
    return twostage.load_prior(model), twostage.load_tokenizer(model)


EXAMPLES = doctest.DocTestFinder(exclude_empty=True).find(api, globs={"twostage": twostage, "np": np})


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.examples], ids=lambda each: each.name)
def test_an_example_of_the_documentation_is_true(example):
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, clear_globs=False)
    assert result.attempted
    assert not result.failed


def test_every_function_has_an_example():
    shown = {each.name.rpartition(".")[2] for each in EXAMPLES if each.examples}
    assert {name for name in api.__all__ if name.islower()} <= shown


def test_importing_it_loads_no_torch():
    asked = "import sys, twostage; assert 'torch' not in sys.modules and 'sample' in dir(twostage); twostage.sample"
    subprocess.run([sys.executable, "-c", asked + "; assert 'torch' in sys.modules"], check=True)
    with pytest.raises(AttributeError, match="no attribute 'draw'"):
        twostage.draw  # noqa: B018


def verb(name, architecture, folder, **settings):
    """The images that the job draws."""
    tree = compose(("scale=smoke",))["sampling"]
    if name == "sampling.denoise":
        tree = tree["denoising"] | settings
    else:
        tree = {key: value for key, value in tree.items() if key not in ("denoising", "inpainting")} | settings
    inputs = {part: f"{architecture}/{part}" for part in ("tokenizer", "prior")}
    job = Job("sampling", name.split(".")[1], "v", "smoke", tree, inputs, str(folder), VERBS[name].files)
    work = work_of(name)
    work(parse(config_of(work), tree), job)
    return read_array(folder / "samples.npy")


def test_a_gpt_draws_what_its_verb_draws(models):
    settings = {"num_images": 5, "batch_size": 2, "seed": 3, "temperature": 0.8, "top_k": 7}
    drawn = verb("sampling.generate", "model", models / "out", **settings)
    ours = twostage.sample(*parts("model"), 5, how=twostage.Draw(0.8, 7), seed=3)
    assert (ours == drawn).all()


def test_a_sundae_draws_what_its_verb_draws(models):
    chain = {"steps": 12, "min_steps": 10, "temperature_start": 1.0, "temperature_end": 0.5}
    chain |= {"proportion_start": 0.5, "proportion_end": 0.4}
    drawn = verb("sampling.denoise", "sundae", models / "out", num_images=5, batch_size=2, seed=3, chain=chain)
    schedule = twostage.Schedule(12, 10, (1.0, 0.5), (0.5, 0.4))
    assert (twostage.sample(*parts("sundae"), 5, how=schedule, seed=3) == drawn).all()


@pytest.mark.parametrize("architecture", ["pixelsnail", "absorbing"])
def test_other_priors_draw_too_and_a_seed_decides(models, architecture):
    prior, tokenizer = parts(write_model(models / "other", architecture))
    first, again, other = (twostage.sample(prior, tokenizer, 3, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("model", ["model", "sundae"])
def test_images_do_not_depend_on_the_batch(monkeypatch, model):
    whole = twostage.sample(*parts(model), 5)
    monkeypatch.setattr(api, "BATCH", 2)
    assert (twostage.sample(*parts(model), 5) == whole).all()


@pytest.mark.parametrize("architecture", ["gpt", "sundae"])
def test_a_class_is_one_code_for_each_image(models, architecture):
    write_model(models / "classes", architecture, TokenSpace(3, (1, 1), map="class"))
    prior, tokenizer = parts("classes")
    assert len(twostage.sample(prior, tokenizer, 2, condition=np.array([0, 2]))) == 2
    for wrong, said in ((None, "needs condition codes"), (np.array([0]), "one row"), (np.array([0, 3]), "class 3")):
        with pytest.raises(TwostageError, match=said):
            twostage.sample(prior, tokenizer, 2, condition=wrong)


def test_a_map_may_be_a_grid_and_on_a_canvas_has_its_size(models):
    write_model(models / "maps", "gpt", TokenSpace(5, GRID, map="edges"))
    prior, tokenizer = parts("maps")
    grid = np.random.default_rng(0).integers(0, 5, (2, *GRID))
    flat = twostage.sample(prior, tokenizer, 2, condition=grid.reshape(2, -1))
    assert (twostage.sample(prior, tokenizer, 2, condition=torch.from_numpy(grid)) == flat).all()
    canvas = np.zeros((1, 4, 7), np.uint16)
    assert twostage.sample(prior, tokenizer, 1, condition=canvas, canvas=(4, 7)).shape == (1, 16, 28, 3)
    with pytest.raises(TwostageError, match="must have the size of the canvas"):
        twostage.sample(prior, tokenizer, 1, condition=canvas, canvas=(4, 8))


def test_decode_undoes_the_codes_of_large_images(monkeypatch):
    """In tiles and whole."""
    tokenizer = twostage.load_tokenizer("model/tokenizer")
    image_NHWC = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    index_Nhw = twostage.encode(tokenizer, image_NHWC)
    shown = twostage.decode(tokenizer, index_Nhw)
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 8)
    assert (twostage.encode(tokenizer, image_NHWC) == index_Nhw).all()
    assert np.abs(twostage.decode(tokenizer, index_Nhw.numpy()).astype(int) - shown).max() <= 1


@pytest.mark.parametrize("architecture", ["gpt", "pixelsnail", "sundae", "absorbing"])
def test_inpainting_keeps_the_codes_outside_of_the_mask(models, monkeypatch, architecture):
    prior, tokenizer = parts(write_model(models / "other", architecture))
    drawn = []
    monkeypatch.setattr(api, "decode", lambda tokenizer, index: drawn.append(index) or np.zeros(1))
    twostage.inpaint(prior, tokenizer, BLACK, RIGHT)
    given = twostage.encode(tokenizer, BLACK)
    assert (drawn[0][:, :, :2] == given[:, :, :2]).all()
    assert (drawn[0][:, :, 2:] != given[:, :, 2:]).any()


def test_a_model_is_found_by_its_name(models):
    shutil.move("model", models / "models/tiny")
    assert len(twostage.sample(*parts("tiny"), 1)) == 1


def test_codes_of_another_tokenizer_are_refused(models):
    write_prior(
        models / "own/prior", TokenSpace(NUM_CODES, GRID, tokenizer_sha256=write_tokenizer(models / "own/tokenizer"))
    )
    write_tokenizer(models / "other", seed=1)
    prior = twostage.load_prior("own")
    assert len(twostage.sample(prior, twostage.load_tokenizer("own"), 1)) == 1
    with pytest.raises(TwostageError, match="the tokenizer has as many codes"):
        twostage.sample(prior, twostage.load_tokenizer("other"), 1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("load_tokenizer('nowhere')", "no folder nowhere"),
        ("load_prior('model/tokenizer')", "not the config of a prior"),
        ("decode(tokenizer, np.ma.masked_array(np.zeros((1, 4, 4), int)))", "codes are a masked array"),
        ("decode(tokenizer, np.zeros((1, 4, 4), 'timedelta64[s]'))", "takes codes int64"),
        ("decode(tokenizer, torch.zeros(1, 4, 4, dtype=torch.long, device='meta'))", "on meta; give a dense one"),
        (
            "decode(tokenizer, torch.zeros(1, 4, 4, dtype=torch.long).to_sparse())",
            "sparse_coo on cpu; give a dense one",
        ),
        ("encode(tokenizer, BLACK[0])", r"takes a uint8 array \[B, H, W, C\].*got uint8 \[16, 16, 3\]"),
        ("encode(tokenizer, BLACK.transpose(0, 3, 1, 2))", "transpose"),
        ("encode(tokenizer, BLACK / 255)", "floats in"),
        ("encode(tokenizer, BLACK[:, :15])", "divisible by 4, got 15x16"),
        ("encode(tokenizer, torch.from_numpy(BLACK))", "uint8 array"),
        ("decode(tokenizer, np.zeros((4, 4), int))", r"codes int64 \[B, h, w\]"),
        ("decode(tokenizer, np.zeros((1, 4, 4)))", "float64"),
        ("decode(tokenizer, np.full((1, 4, 4), 16))", "16"),
        ("sample(prior, tokenizer, 0)", "at least 1"),
        ("sample(prior, tokenizer, how=Draw(top_k=17))", "larger than the vocabulary"),
        ("sample(prior, tokenizer, how=Schedule(9, 9, (1, 1), (1, 1)))", "give this one a Draw"),
        ("sample(sundae, tokenizer, how=Draw())", "takes a Schedule"),
        ("sample(sundae, tokenizer, canvas=(8, 8))", "leave canvas out"),
        ("sample(prior, tokenizer, canvas=(2, 8))", "larger than the canvas"),
        ("sample(prior, tokenizer, condition=np.zeros(16, int))", "unconditional one takes none"),
        ("inpaint(prior, tokenizer, BLACK, RIGHT, how=Schedule(9, 9, (1, 1), (1, 1)))", "give this one a Draw"),
        ("inpaint(sundae, tokenizer, BLACK, RIGHT[:8])", r"a mask bool \[16, 16\]; got .* bool \[8, 16\]"),
        ("inpaint(sundae, tokenizer, BLACK, RIGHT * 1)", "int64"),
        ("inpaint(sundae, tokenizer, BLACK[:, :, :8], RIGHT)", "inpaint takes images"),
        ("inpaint(sundae, tokenizer, BLACK, RIGHT & False)", "covers no code"),
    ],
)
def test_a_mistake_is_one_line(asked, said):
    prior, tokenizer = parts("model")
    names = {name: getattr(twostage, name) for name in twostage.__all__}
    names |= {"prior": prior, "tokenizer": tokenizer, "sundae": twostage.load_prior("sundae")}
    with pytest.raises(TwostageError, match=said) as raised:
        eval(asked, globals() | names)
    assert "\n" not in str(raised.value)


# ---- Arguments of the wrong kind


NO_IMAGES = np.zeros((0, 16, 16, 3), np.uint8)


def says(call, said):
    with pytest.raises(TwostageError, match=said) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("seed", [None, -1, 2**63, 2**64, 10**400, 1.0, "1", True, np.float32(1), (1,), np.bool_(1)])
@pytest.mark.parametrize("model", ["model", "sundae"])
def test_a_seed_is_a_whole_number(model, seed):
    prior, tokenizer = parts(model)
    said = "seed.* must be a whole number, at least 0"
    says(lambda: twostage.sample(prior, tokenizer, 1, seed=seed), said)
    says(lambda: twostage.inpaint(prior, tokenizer, BLACK, RIGHT, seed=seed), said)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
@pytest.mark.parametrize("model", ["model", "sundae"])
def test_whole_numbers_may_be_those_of_numpy(model, kind):
    prior, tokenizer = parts(model)
    assert (
        twostage.sample(prior, tokenizer, kind(2), seed=kind(3)) == twostage.sample(prior, tokenizer, 2, seed=3)
    ).all()
    again = (twostage.inpaint(prior, tokenizer, BLACK, RIGHT, seed=seed) for seed in (kind(3), 3))
    assert np.array_equal(*again)
    assert twostage.Draw(np.float32(0.5), kind(3), np.float64(0.5)) == twostage.Draw(0.5, 3, 0.5)
    assert twostage.Schedule(kind(3), kind(2), [1, kind(1)], (1, 1)) == twostage.Schedule(3, 2, (1.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize("model", ["model", "sundae"])
def test_the_largest_seed_draws(model):
    assert len(twostage.sample(*parts(model), 1, seed=2**63 - 1)) == 1
    # Python writes no number of so many digits.
    says(lambda: twostage.sample(*parts(model), 1, seed=10**5000), "seed=<int> must be")


@pytest.mark.parametrize("number", [1.0, True, "2", None, [2], 0, -1, 2**40, float("nan")])
def test_a_number_of_images_is_a_whole_number(number):
    for model in ("model", "sundae"):
        says(
            lambda model=model: twostage.sample(*parts(model), number),
            "num_images=.* at least 1",
        )


@pytest.mark.parametrize(
    "canvas", [(8,), 8, (8.0, 8.0), (8, 8, 8), (), "88", "8", (8, None), (True, 8), {8: 8}, (0, 8), (-8, 8)]
)
def test_a_canvas_is_two_whole_numbers(canvas):
    says(lambda: twostage.sample(*parts("model"), 1, canvas=canvas), "canvas=")


@pytest.mark.parametrize(
    "wrong", [[0], "x", 0, 1.5, np.int64(0), np.array(0), torch.tensor(0), np.zeros(0, int), [[0]]]
)
def test_a_condition_is_an_array(models, wrong):
    write_model(models / "classes", "gpt", TokenSpace(3, (1, 1), map="class"))
    for model in ("model", "classes", "sundae"):
        prior, tokenizer = parts(model)
        says(lambda p=prior, t=tokenizer: twostage.sample(p, t, 1, condition=wrong), "condition")
        says(lambda p=prior, t=tokenizer: twostage.inpaint(p, t, BLACK, RIGHT, condition=wrong), "condition")


@pytest.mark.parametrize("wrong", ["1", None, True, float("nan"), float("inf"), -1.0, 0, 10**400, (1.0,), 1j])
def test_a_temperature_is_a_finite_positive_number(wrong):
    says(lambda: twostage.Draw(temperature=wrong), "temperature")
    says(lambda: twostage.Schedule(9, 9, (1.0, wrong), (1.0, 1.0)), "temperature")
    if wrong is not None:
        says(lambda: twostage.Draw(top_p=wrong), "top_p")
    says(lambda: twostage.Schedule(9, 9, (1.0, 1.0), (wrong, 1.0)), "proportion")


@pytest.mark.parametrize("wrong", [1.5, "3", True, 0, -3, (3,)])
def test_top_k_and_steps_are_whole_numbers(wrong):
    says(lambda: twostage.Draw(top_k=wrong), "top_k=")
    says(lambda: twostage.Schedule(wrong, 0, (1.0, 1.0), (1.0, 1.0)), "steps=")
    if wrong != 0:
        says(lambda: twostage.Schedule(9, wrong, (1.0, 1.0), (1.0, 1.0)), "min_steps=")


@pytest.mark.parametrize("wrong", [1.0, (1.0,), (1.0, 1.0, 1.0), None, "11", (), {1, 2}, np.ones(2)])
def test_a_schedule_has_two_temperatures_and_proportions(wrong):
    says(lambda: twostage.Schedule(9, 9, wrong, (1.0, 1.0)), "temperature=.* must be two numbers")
    says(lambda: twostage.Schedule(9, 9, (1.0, 1.0), wrong), "proportion=.* must be two numbers")


@pytest.mark.parametrize("how", ["x", 5, {}, twostage.Draw, object()])
def test_how_is_a_draw_or_a_schedule(how):
    for model in ("model", "sundae"):
        says(lambda model=model: twostage.sample(*parts(model), 1, how=how), "Draw|Schedule")


@pytest.mark.parametrize(
    "wrong", [None, 5, b"x", "x" * 5000, "x" * 300, ["model"], "~nouser/x", "x\0", ""], ids=lambda x: repr(x)[:9]
)
def test_a_model_is_a_path_or_a_name(wrong):
    for load in (twostage.load_prior, twostage.load_tokenizer):
        says(
            lambda load=load: load(wrong), "no model|a model is|too long|no home folder|NUL|names no file|lacks|missing"
        )


@pytest.mark.parametrize(
    "wrong", [None, [], "x", [[[0]]], 5, np.zeros(3, np.uint8), np.zeros((0, 16, 16, 3), np.uint8)]
)
def test_what_is_encoded_is_an_array_of_images(wrong):
    for model in ("model", "sundae"):
        prior, tokenizer = parts(model)
        says(lambda t=tokenizer: twostage.encode(t, wrong), "takes")
        says(lambda p=prior, t=tokenizer: twostage.inpaint(p, t, wrong, RIGHT), "takes")


def test_no_images_are_refused_also_where_images_go_in_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 8)
    tokenizer = twostage.load_tokenizer("model")
    for shape, kind in (
        ((0, 16, 16, 3), np.uint8),
        ((1, 16, 16, 3), float),
        ((1, 16, 16), np.uint8),
        ((1, 16, 16, 4), np.uint8),
    ):
        says(lambda shape=shape, kind=kind: twostage.encode(tokenizer, np.zeros(shape, kind)), "takes")


@pytest.mark.parametrize("mask", [torch.from_numpy(RIGHT), RIGHT.tolist()], ids=["tensor", "lists"])
def test_a_mask_may_be_a_tensor_or_lists(mask):
    prior, tokenizer = parts("sundae")
    by_array, ours = (twostage.inpaint(prior, tokenizer, BLACK, each) for each in (RIGHT, mask))
    assert (by_array == ours).all()


@pytest.mark.parametrize("wrong", [None, 5, "x", [[True]], [[True], []], RIGHT.astype(int)])
def test_a_mask_is_an_array(wrong):
    says(lambda: twostage.inpaint(*parts("sundae"), BLACK, wrong), "a mask (as a bool array|bool) \\[")


@pytest.mark.parametrize("wrong", [None, 5, "x", np.zeros(3), object()])
def test_prior_and_tokenizer_are_those_that_were_loaded(wrong):
    prior, tokenizer = parts("model")
    for pair in ((tokenizer, prior), (wrong, tokenizer), (prior, wrong), (prior, prior), (wrong, wrong)):
        says(lambda pair=pair: twostage.sample(*pair), "load_prior|load_tokenizer")
        says(lambda pair=pair: twostage.inpaint(*pair, BLACK, RIGHT), "load_prior|load_tokenizer")
    says(lambda: twostage.encode(wrong, BLACK), "load_tokenizer")
    says(lambda: twostage.decode(prior, np.zeros((1, 4, 4), int)), "load_tokenizer")
