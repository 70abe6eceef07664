"""All jobs from a user's folder to samples: what they are, and which of them are asked for again."""

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from twostage.commands import from_data
from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning.chain import chain
from twostage.runtime.artifacts import write_json

pytestmark = pytest.mark.usefixtures("repository_conf")

MINE = ("data=folder", "data.name=mine", "scale=smoke", "data.maps=[segmentation]", "data.num_labels=6")
BY_MAP = (*MINE, "priors.condition=segmentation_f4")


def names(jobs):
    return [f"{job.name} {job.variant}" for job in jobs]


def given(overrides, layout):
    """The overrides, with the picture of a layout where they say so."""
    return tuple(f"sampling.condition_file={layout}" if each == "LAYOUT" else each for each in overrides)


@pytest.fixture
def layout(tmp_path):
    path = tmp_path / "layout.png"
    Image.new("L", (96, 64), 3).save(path)
    return path


def test_a_conditional_chain_has_both_tokenizers_and_their_latents():
    jobs = chain(BY_MAP)
    prior = "mine.vqgan_f4.given_segmentation_f4.gpt"
    assert names(jobs)[:-1] == [
        "data.prepare mine",
        "weights.convert alexnet",
        "tokenizers.train mine.segmentation_f4",
        "latents.encode mine.segmentation_f4",
        "tokenizers.train mine.vqgan_f4",
        "latents.encode mine.vqgan_f4",
        f"priors.tune {prior}.tune",
        f"priors.train {prior}.seed0",
    ]
    assert names(jobs)[-1].startswith(f"sampling.generate {prior}.seed0.drawn_")
    assert set(jobs[-1].inputs) == {"prior", "tokenizer", "condition"}


@pytest.mark.parametrize(
    "overrides",
    [
        MINE, BY_MAP, (*BY_MAP, "sampling.given=0.5"), (*MINE, "priors=pixelsnail"), (*MINE, "priors.condition=class"),
        (*MINE, "priors.condition=coordinates"), (*MINE, "priors.condition=edges_f4"),
        (*MINE, "priors.condition=low_resolution_f1"), (*MINE, "priors.condition=low_resolution_f2"),
    ],
)  # fmt: skip
def test_every_job_comes_after_what_it_reads(overrides):
    made = set()
    for job in chain(overrides):
        assert set(job.inputs.values()) <= made
        made.add(job.out)


def test_a_known_learning_rate_needs_no_sweep():
    jobs = chain((*MINE, "priors.learning_rate=1e-3"))
    assert "priors.tune" not in " ".join(names(jobs))
    assert "tune" not in jobs[-2].inputs


def test_a_tokenizer_comes_after_the_one_it_starts_from():
    jobs = chain((*MINE, "tokenizers=adversarial_f4"), "tokenizers.train")
    assert names(jobs)[-2:] == ["tokenizers.train mine.perceptual_f4", "tokenizers.train mine.adversarial_f4"]
    assert jobs[-1].inputs["start"] == jobs[-2].out


def test_choices_of_the_image_tokenizer_are_not_those_of_the_maps():
    jobs = chain((*BY_MAP, "tokenizers=vqgan_f8", "tokenizers.loop.steps=7"))
    trained = {job.variant: job.config["loop"]["steps"] for job in jobs if job.stage == "tokenizers"}
    assert trained == {"mine.vqgan_f8": 7, "mine.segmentation_f4": 20}


def test_a_map_of_ones_own_is_encoded_by_the_conditions_tokenizer(layout):
    jobs = chain((*BY_MAP, f"sampling.condition_file={layout}"))
    assert jobs[-1].inputs["condition_tokenizer"] == "artifacts/smoke/tokenizers/mine.segmentation_f4"
    assert "condition" not in jobs[-1].inputs


@pytest.mark.parametrize("name", ["edges", "depth", "segmentation"])
def test_a_map_that_the_data_lack_is_made_of_their_images(name):
    (annotate,) = [job for job in chain((*MINE, "data.maps=[]", f"priors.condition={name}_f4")) if job.stage == "data"
                   and job.verb == "annotate"]  # fmt: skip
    assert (annotate.variant, annotate.config["map"]) == (f"mine.{name}", name)
    assert annotate.inputs == {"data": "artifacts/smoke/data/mine"}


@pytest.mark.parametrize(("condition", "variant"), [("class", "mine.class"), ("coordinates", "mine.coordinates_f4")])
def test_a_class_or_a_place_needs_no_tokenizer(condition, variant):
    jobs = chain((*MINE, f"priors.condition={condition}", "priors.learning_rate=1e-3"))
    assert [job.variant for job in jobs if job.stage == "tokenizers"] == ["mine.vqgan_f4"]
    assert jobs[-1].inputs["condition"] == jobs[-2].inputs["condition"] == f"artifacts/smoke/latents/{variant}"


def test_a_canvas_of_coordinates_has_its_own():
    jobs = chain((*MINE, "priors.condition=coordinates", "sampling.coordinates=true"))
    assert "condition" in jobs[-2].inputs
    assert "condition" not in jobs[-1].inputs


def test_every_canvas_has_a_folder_of_its_own(layout):
    asked = (*BY_MAP, f"sampling.condition_file={layout}")
    folders = [chain(asked)[-1].out, chain((*asked, "sampling.canvas_pixels=[64,96]"))[-1].out]
    Image.new("L", (96, 64), 4).save(layout)
    folders.append(chain(asked)[-1].out)
    assert len(set(folders)) == 3
    assert chain(asked)[-1].out == folders[-1]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ((*MINE, "LAYOUT"), "needs a prior with a map as its condition; set priors.condition"),
        ((*MINE, "LAYOUT", "priors.condition=class"), "needs a prior with a map as its condition"),
        ((*MINE, "priors.condition=pose_f4"), "dataset mine has no map pose and none can be made of its images"),
        ((*MINE, "priors.condition=hats"), "tokenizers/hats"),
    ],
)
def test_what_does_not_go_together_is_refused(layout, overrides, named):
    with pytest.raises(TwostageError, match=named):
        chain(given(overrides, layout))


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (
            (*BY_MAP, "sampling.canvas_pixels=[62,96]"),
            r"both sides must be divisible by the tokenizer's factor 4; set e.g. \[64, 96\]",
        ),
        ((*BY_MAP, "sampling.canvas_pixels=[16,96]"), "the window is larger than the canvas: the prior sees 8x8"),
        ((*BY_MAP, "sampling.condition_file=nowhere.png"), r"condition_file=nowhere\.png cannot be decoded"),
        ((*BY_MAP, "sampling.canvas_pixels=[64,128]", "LAYOUT"), r"layout\.png is 96x64, but the canvas needs 128x64"),
        (
            (*MINE, "priors.condition=low_resolution_f1", "sampling.canvas_pixels=[256,512]", "LAYOUT"),
            r"layout\.png is 96x64, but the canvas needs 128x64",
        ),
        (
            (*MINE, "priors.condition=coordinates", "sampling.canvas_pixels=[64,96]"),
            r"coordinates of its own; set sampling\.coordinates=true",
        ),
        ((*MINE, "priors=sundae"), r"choose priors=gpt or pixelsnail"),
        ((*BY_MAP, "sampling.canvas_pixels=[64,96]"), r"set sampling\.condition_file"),
        ((*MINE, "sampling.canvas_pixels=[64,96]", "sampling.given=0.5"), r"given=0\.5 begins with real images"),
        (
            (*BY_MAP, "tokenizers=vqgan_f8", "sampling.canvas_pixels=[64,96]", "LAYOUT"),
            "segmentation_f4 has 8x8 tokens for the 4x4 of an image",
        ),
        ((*BY_MAP, "tokenizers=vqgan_f8", "priors=pixelsnail"), "segmentation_f4 has 8x8 tokens for the 4x4"),
        (
            (*BY_MAP, "sampling.num_images=101"),
            r"num_images=101 needs 101 validation images, there are (100|\d\d?); lower it",
        ),
        ((*MINE, "sampling.given=0.5", "sampling.num_images=101"), "needs 101 validation images"),
        ((*MINE, "sampling.classes=[cat]"), "classes names cat; the condition of the prior is nothing: leave it null"),
        ((*BY_MAP, "sampling.classes=[]"), "names all classes; the condition of the prior is segmentation_f4"),
        (
            (*MINE, "priors.condition=class", "data.classes=[cat,dog]", "sampling.classes=[cat,owl]"),
            "names owl, not among the prior's 2 classes; they are cat, dog: choose from its classes",
        ),
        ((*MINE, "sampling.coordinates=true"), "the prior takes no condition; remove sampling.coordinates"),
        (
            (*MINE, "priors.condition=class", "sampling.coordinates=true"),
            r"coordinates=true, but the prior was trained with the condition class; set it to false",
        ),
        ((*MINE, "priors.condition=edges_f4", "sampling.coordinates=true"), "trained with the condition edges_f4; set"),
        ((*BY_MAP, "LAYOUT", "sampling.coordinates=true"), "a prior has one condition; choose"),
        ((*MINE, "sampling.num_images=0"), "sampling.num_images is 0; set a number of at least 1"),
        ((*MINE, "sampling.per_condition=0"), "sampling.per_condition is 0; set a number of at least 1"),
        ((*BY_MAP, "sampling.per_condition=-3"), "sampling.per_condition is -3; set a number of at least 1"),
        ((*MINE, "sampling.given=1.5"), r"sampling\.given is 1\.5; set a number from 0 to 1"),
        ((*MINE, "sampling.temperature=-1"), r"sampling\.temperature is -1\.0; set a number of at least 0"),
        ((*MINE, "sampling.top_k=0"), "sampling.top_k is 0; set a number of at least 1"),
        ((*MINE, "sampling.top_k=65"), "top_k=65 is larger than the vocabulary of 64 codes"),
        ((*MINE, "tokenizers=greys_f1", "sampling.top_k=257"), "larger than the vocabulary of 256 codes"),
        ((*MINE, "tokenizers=kmeans_f1", "sampling.top_k=513"), "larger than the vocabulary of 512 codes"),
        ((*MINE, "sampling.top_p=0"), r"top_p=0\.0 must be in"),
        (
            (*MINE, "priors.ordering=spiral_in", "sampling.canvas_pixels=[64,96]"),
            "sliding windows need row-major order, but the prior's is spiral_in",
        ),
    ],
)
def test_what_no_training_can_mend_is_said_before_it(layout, overrides, named):
    with pytest.raises(TwostageError, match=named):
        from_data.check(given(overrides, layout))


@pytest.mark.parametrize(
    "overrides",
    [
        BY_MAP,
        (*BY_MAP, "tokenizers=vqgan_f8"),  # a transformer reads a condition of any grid
        (*BY_MAP, "sampling.num_images=101", "sampling.per_condition=101"),
        (*MINE, "sampling.num_images=101"),  # without a condition nothing is read of them
        (*MINE, "priors.condition=class", "sampling.classes=[]", "sampling.num_images=101"),
        (*MINE, "priors.condition=low_resolution_f1"),
        (*MINE, "priors.condition=coordinates"),
        (*MINE, "priors.condition=coordinates", "sampling.coordinates=true"),
        (*MINE, "priors.condition=coordinates", "sampling.coordinates=true", "sampling.canvas_pixels=[64,96]"),
        (*MINE, "priors.ordering=spiral_in"),
    ],
)
def test_what_can_be_drawn_is_let_through(overrides):
    from_data.check((*overrides, *(() if "num_images" in " ".join(overrides) else ("sampling.num_images=4",))))


def test_a_small_picture_may_be_enlarged(layout):
    """At factor 4, 96x64 pixels are enough for 384x256."""
    enlarged = (*MINE, "priors.condition=low_resolution_f1", "sampling.canvas_pixels=[256,384]", "LAYOUT")
    from_data.check(given(enlarged, layout))


@pytest.mark.parametrize(("asked", "known"), [("[dog,cat]", True), ("[]", True), ("[dog,zebra]", False)])
def test_classes_are_held_against_the_dataset_as_soon_as_it_is_prepared(tmp_path, monkeypatch, asked, known):
    made = []

    def prepare(target, scale, study):
        made.append(target)
        if target.startswith("artifacts/"):
            split = {"validation": {"num_images": 5}}
            write_json(tmp_path / target, {"classes": ["cat", "dog"], "splits": split})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(composition, "_studies", {})
    monkeypatch.setattr(from_data, "snakemake", prepare)
    by_class = (*MINE, "data.maps=[]", "priors.condition=class", f"sampling.classes={asked}", "sampling.num_images=4")
    if known:
        from_data.make(by_class)
        assert made[-1] == "results/samples_of_mine.csv"
        return
    with pytest.raises(TwostageError, match="names zebra, not among the prior's 2 classes; they are cat, dog: choose"):
        from_data.make(by_class)
    assert made == ["artifacts/smoke/data/mine/metadata.json"]


def test_a_failed_run_ends_the_command(tmp_path, monkeypatch):
    asked = []

    def fail(command, check):
        asked.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(TwostageError, match="no Snakefile"):
        from_data.snakemake("results/mine.csv", "smoke", Path("mine.yaml"))
    (tmp_path / "Snakefile").touch()
    with pytest.raises(SystemExit) as stopped:
        from_data.snakemake("results/mine.csv", "smoke", Path("mine.yaml"))
    assert stopped.value.code == 3
    assert asked[0][-5:] == ["--config", "scale=smoke", "study=mine.yaml", "--", "results/mine.csv"]


def test_the_chain_names_no_stage_it_cannot_run():
    """Every job is one of a verb with a module of its own."""
    for job in chain(BY_MAP):
        assert (composition.CONF.parent / "src/twostage" / job.stage / f"{job.verb}.py").exists()
