"""What a person asks for by overrides: which job, in which folder, and what it rests on."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tokenizers.conftest import small_config
from twostage.errors import TwostageError
from twostage.planning.prompt import asked
from twostage.planning.provenance import origin, write_record
from twostage.planning.whole import whole_plan
from twostage.runtime.artifacts import write_json
from twostage.runtime.job import Job
from twostage.tokenizers import Tokenizer
from twostage.tokenizers.model import save

pytestmark = pytest.mark.usefixtures("repository_conf")

SMOKE = ("scale=smoke",)
MINE = (*SMOKE, "data=folder", "data.name=mine")


@pytest.fixture(scope="module")
def plan(request):
    return whole_plan("smoke").jobs


@pytest.fixture(autouse=True)
def empty_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("verb", "overrides"),
    [
        ("data.prepare", ("data=cifar10",)),
        ("tokenizers.train", ("data=fashion_mnist", "tokenizers=segmentation_f4")),
        ("latents.encode", ()),
        ("priors.tune", ("priors=pixelsnail",)),
        ("priors.train", ("priors=pixelsnail",)),
        ("priors.train", ("priors=pixelsnail", "priors.loop.seed=1")),
        ("priors.train", ("priors=gpt",)),
        ("evaluation.rfid", ()),
    ],
)
def test_what_the_plan_has_lies_in_the_plans_folder(plan, verb, overrides):
    got = asked(verb, (*SMOKE, *overrides))
    assert got.job in plan.values()
    assert set(got.job.inputs.values()) <= set(got.jobs)


@pytest.mark.parametrize(
    ("verb", "overrides"),
    [
        ("data.prepare", ("data=cifar10", "data.size=64")),
        ("data.prepare", ("data=cifar10", "data.canny_sigma=2")),
        ("tokenizers.train", ("tokenizers.loop.steps=7",)),
        ("tokenizers.train", ("scale.tokenizers.image.steps=10",)),
        ("latents.encode", ("latents.flips=false",)),
        ("priors.train", ("priors=pixelsnail", "priors.learning_rate=1e-5")),
        ("priors.train", ("priors=gpt", "scale.priors.steps=7")),
        ("priors.train", ("priors=gpt", "priors.sweep.learning_rates=[1e-5]")),
        ("sampling.generate", ("sampling.top_p=0.9",)),
        ("sampling.generate", ("priors.learning_rate=1e-3",)),
        ("sampling.generate", ("scale.tokenizers.image.steps=10",)),
        ("evaluation.rfid", ("evaluation.rfid_images=7",)),
    ],
)
def test_a_job_that_differs_from_the_plan_has_a_folder_of_its_own(plan, verb, overrides):
    got = asked(verb, (*SMOKE, *overrides))
    assert got.job.out not in plan
    # And so has all that it rests on, where that differs.
    for job in got.jobs.values():
        assert plan.get(job.out, job) == job
    names = {json.dumps([job.config, job.inputs]): job.out for job in [*got.jobs.values(), got.job]}
    assert len(names) == len(set(names.values()))


def test_a_value_of_an_earlier_stage_names_what_was_made_with_it():
    slow = ("priors.learning_rate=1e-3",)
    trained = asked("priors.train", (*SMOKE, *slow)).job
    sampled = asked("sampling.generate", (*SMOKE, *slow)).job
    assert sampled.inputs["prior"] == trained.out
    assert asked("sampling.generate", SMOKE).job.inputs["prior"] != trained.out


@pytest.mark.parametrize("asked_for", ["tokenizers.loop.steps=7", "latents.flips=false", "data.size=64"])
def test_every_stage_by_hand_finds_the_one_before(asked_for):
    made = set()
    for verb in (
        "data.prepare",
        "tokenizers.train",
        "latents.encode",
        "priors.tune",
        "priors.train",
        "sampling.generate",
    ):
        stage = verb.split(".")[0]
        stages = ("data", "tokenizers", "latents", "priors", "sampling")
        if stages.index(asked_for.split(".")[0]) > stages.index(stage):
            continue
        got = asked(verb, (*MINE, asked_for))
        assert set(got.job.inputs.values()) <= made | set(got.jobs)
        made |= {got.job.out}
        for job in got.jobs.values():
            if job.stage in ("tokenizers", "latents") and made & {job.out}:
                assert job.out in made


def test_a_dataset_of_ones_own_keeps_its_plain_name_and_so_does_what_is_made_of_it():
    names = [
        asked(verb, MINE).job.variant for verb in ("data.prepare", "tokenizers.train", "latents.encode", "priors.train")
    ]
    assert names == ["mine", "mine.vqgan_f4", "mine.vqgan_f4", "mine.vqgan_f4.gpt.seed0"]
    assert asked("data.prepare", (*MINE, "data.size=64", "data.root=x")).job.variant == "mine"


def prepared(overrides):
    """As data.prepare leaves it."""
    job = asked("data.prepare", overrides).job
    for name in job.files:
        write_json(job.folder / name, {})
    write_record(job, origin(job))
    return job


def test_what_data_prepare_was_told_need_not_be_told_again(tmp_path):
    (tmp_path / 'it\'s 1.10 "ü"').mkdir()
    root = f"data.root='{tmp_path}/it\\'s 1.10 \"ü\"'"
    data = prepared((*MINE, root, "data.maps=[segmentation]", "data.num_labels=6", "data.tune_images=5"))
    job = asked("tokenizers.train", (*MINE, "tokenizers=segmentation_f4"))
    assert job.job.inputs["data"] == data.out
    assert job.jobs[data.out] == data
    # What is said counts.
    other = asked("tokenizers.train", (*MINE, "tokenizers=segmentation_f4", "data.num_labels=7"))
    assert other.jobs[data.out].config["num_labels"] == 7


def test_a_dataset_with_a_card_is_found_whatever_its_folder_is_called(tmp_path):
    (tmp_path / "faces").mkdir()
    data = prepared((*SMOKE, "data=celeba_hq", "data.root=faces"))
    got = asked("tokenizers.train", (*SMOKE, "data=celeba_hq"))
    assert got.job.inputs["data"] == data.out


@pytest.mark.parametrize(
    ("verb", "override", "stage"),
    [("data.prepare", "priors.learning_rate=1", "priors"), ("tokenizers.train", "latents.flips=false", "latents"),
     ("priors.train", "sampling.top_p=0.9", "sampling"), ("evaluation.rfid", "sampling.top_p=0.9", "sampling")],
)  # fmt: skip
def test_a_choice_of_a_stage_that_is_not_read_is_refused(verb, override, stage):
    with pytest.raises(
        TwostageError, match=f"is a choice of the stage {stage}, which {verb} does not read; it reads data"
    ):
        asked(verb, (*SMOKE, override))


def test_how_to_make_what_is_missing_is_a_command_that_makes_it():
    got = asked("sampling.generate", (*SMOKE, "priors.learning_rate=1e-3", "sampling.classes=[a b]"))
    prior = got.jobs[got.job.inputs["prior"]]
    assert got.how(prior) == "make it: python -m twostage priors.train scale=smoke priors.learning_rate=1e-3"


@pytest.mark.parametrize(
    ("verb", "overrides"),
    [
        ("tokenizers.train", ("tokenizers=edges_f4",)),
        ("tokenizers.train", ("tokenizers=low_resolution_f2",)),
        ("tokenizers.train", ("data=fashion_mnist", "tokenizers=segmentation_f4", "tokenizers.dropout=0.1")),
        ("latents.encode", ("tokenizers=depth_f4", "data.canny_sigma=3")),
        ("priors.train", ("priors.condition=edges_f4", "priors.learning_rate=1e-3")),
        ("priors.train", ("priors.condition=low_resolution_f1", "priors.learning_rate=1e-3")),
        ("sampling.generate", ("priors.condition=class", "tokenizers.dropout=0.1")),
        ("priors.train", ("priors.condition=coordinates", "tokenizers=vqgan_f2", "latents.flips=false")),
        ("priors.train", ("priors.condition=coordinates",)),
        ("priors.train", ("priors.condition=class", "data=folder", "data.name=mine")),
        ("sampling.generate", ("priors.condition=depth_f4", "priors=pixelsnail")),
        ("sampling.denoise", ("priors=sundae", "priors.condition=edges_f8", "data.canny_sigma=3")),
        ("evaluation.rfid", ("tokenizers=adversarial_f4", "tokenizers.dropout=0.1")),
        ("evaluation.reconstruct", ("tokenizers=edges_f4",)),
        ("sampling.generate", ("priors.condition=edges_f4", "scale.data.low_resolution_factor=2")),
    ],
)
def test_each_command_that_makes_what_is_missing_makes_just_that(verb, overrides):
    got = asked(verb, (*SMOKE, *overrides))
    for job in got.jobs.values():
        if job.stage == "weights":
            continue
        name, *words = shlex.split(got.how(job).removeprefix("make it: python -m twostage "))
        assert (name, asked(name, tuple(words)).job.out) == (job.name, job.out)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), r"data\.annotate makes a map of images; name a tokenizer of that map: tokenizers=edges_f4"),
        (("data=fashion_mnist", "tokenizers=segmentation_f4"), "dataset fashion_mnist brings its own map segmentation"),
        (("tokenizers=pose_f4",), "dataset cifar10 has no map pose and none can be made"),
    ],
)
def test_a_map_that_is_not_to_be_made_is_one_line(overrides, said):
    with pytest.raises(TwostageError, match=said):
        asked("data.annotate", (*SMOKE, *overrides))


# ---- Folders of the user's


def trained(folder, job, config):
    """A model as a verb leaves it in a folder of the user's."""
    job = replace(job, out=str(folder), files=["model.safetensors", "config.json"])
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    write_json(folder / "config.json", config)
    write_record(job, origin(job))
    return job


def model_of_ones_own(tmp_path, name="image"):
    job = Job("tokenizers", "train", "a", "smoke", {}, {}, "", [])
    return trained(tmp_path / "t", job, {"config": {"map": name}})


def test_a_prior_of_ones_own_brings_its_tokenizer_and_condition(tmp_path):
    tokenizer = model_of_ones_own(tmp_path)
    latents = trained(
        tmp_path / "l", Job("latents", "encode", "b", "smoke", {}, {"tokenizer": tokenizer.out}, "", []), {}
    )
    prior = trained(tmp_path / "p", Job("priors", "train", "c", "smoke", {}, {"latents": latents.out}, "", []), {})
    got = asked("sampling.generate", (*SMOKE, f"prior={prior.out}", "sampling.num_images=4"))
    assert got.job.inputs == {"prior": prior.out, "tokenizer": tokenizer.out}
    assert got.job.config["num_images"] == 4
    # Taken as they are: no job of the chain is asked whether it made them.
    assert not set(got.job.inputs.values()) & got.jobs.keys()
    assert got.job.out.startswith("artifacts/smoke/sampling/")


def test_a_tokenizer_of_ones_own_takes_the_place_of_the_chains(tmp_path, plan):
    tokenizer = model_of_ones_own(tmp_path)
    latents = asked("latents.encode", (*SMOKE, f"tokenizer={tokenizer.out}")).job
    assert latents.inputs["tokenizer"] == tokenizer.out
    assert latents.out not in plan
    prior = asked("priors.train", (*SMOKE, f"tokenizer={tokenizer.out}", "priors.learning_rate=1e-3")).job
    assert prior.inputs["latents"] == latents.out


TOKENIZER_OF = {"image": "vqgan_f4", "edges": "edges_f4", "depth": "depth_f4"}


@pytest.mark.parametrize(("name", "kind"), [("image", "colour"), ("edges", "binary"), ("depth", "grey")])
def test_a_tokenizer_of_ones_own_encodes_its_map(tmp_path, name, kind):
    save(Tokenizer(small_config(map=name), kind, 3 if kind == "colour" else 1), tmp_path / "mine")
    job = asked("latents.encode", (*SMOKE, f"tokenizer={tmp_path}/mine")).job
    assert job.config["map"] == name
    maps = asked("data.prepare" if name == "image" else "data.annotate", (*SMOKE, f"tokenizers={TOKENIZER_OF[name]}"))
    assert job.inputs["data"] == maps.job.out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("prior=nowhere",), "prior=nowhere has no config.json; name the folder of a trained prior"),
        (("prior=unknown",), "unknown has no record of its tokenizer; name it: tokenizer=DIR"),
    ],
)
def test_a_folder_that_does_not_do_is_one_line(overrides, message):
    write_json(Path("unknown/config.json"), {})
    with pytest.raises(TwostageError, match=message):
        asked("sampling.generate", (*SMOKE, *overrides))


def test_out_is_the_folder_that_is_written(tmp_path, plan):
    got = asked("priors.train", (*SMOKE, "priors.learning_rate=1e-3"), Path("models/mine"))
    assert got.job.out == "models/mine"
    with pytest.raises(TwostageError, match="lies in artifacts/"):
        asked("priors.train", SMOKE, Path("artifacts/smoke/priors/cifar10.vqgan_f4.gpt.seed0"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").touch()
    with pytest.raises(TwostageError, match=r"--out full holds something that priors.train did not write"):
        asked("priors.train", SMOKE, Path("full"))


def test_out_takes_a_folder_that_the_same_verb_wrote_or_began_and_no_others(tmp_path):
    prior = asked("priors.train", (*SMOKE, "priors.learning_rate=1e-3")).job
    Path("begun").mkdir()
    for name in ("log.txt", "config.json", ".model.safetensors.0.partial"):
        (tmp_path / "begun" / name).touch()
    assert asked("priors.train", SMOKE, Path("begun")).job.out == "begun"
    trained(tmp_path / "mine", prior, {})
    assert asked("priors.train", SMOKE, Path("mine")).job.out == "mine"
    with pytest.raises(TwostageError, match=r"--out mine holds something that tokenizers.train did not write"):
        asked("tokenizers.train", SMOKE, Path("mine"))


@pytest.mark.parametrize("verb", ["evaluation.reconstruct", "evaluation.rfid"])
def test_a_tokenizer_of_ones_own_can_be_evaluated(tmp_path, plan, verb):
    tokenizer = model_of_ones_own(tmp_path)
    job = asked(verb, (*SMOKE, f"tokenizer={tokenizer.out}")).job
    assert job.inputs["tokenizer"] == tokenizer.out
    assert job.out not in plan


@pytest.mark.parametrize(
    ("verb", "name"),
    [("data.prepare", "tokenizer"), ("tokenizers.train", "tokenizer"), ("latents.plain", "tokenizer"),
     ("evaluation.features", "tokenizer"), ("priors.train", "prior"), ("latents.encode", "prior")],
)  # fmt: skip
def test_a_verb_that_reads_no_such_folder_says_which_do(tmp_path, verb, name):
    folder = model_of_ones_own(tmp_path).out
    with pytest.raises(TwostageError, match=f"{verb} reads no {name}; {name}=DIR is for [a-z.]+, "):
        asked(verb, (*SMOKE, f"{name}={folder}"))


def test_another_model_in_the_same_folder_is_another_question(tmp_path):
    tokenizer = model_of_ones_own(tmp_path)
    request = ("latents.encode", (*SMOKE, f"tokenizer={tokenizer.out}"))
    before = asked(*request).job.out
    assert asked("latents.encode", (*SMOKE, "tokenizer=t")).job.out == before
    (tokenizer.folder / "model.safetensors").write_bytes(b"others ")
    assert asked(*request).job.out != before


@pytest.mark.parametrize("content", ["[]", "null", "{"])
def test_a_damaged_model_or_record_is_one_line(tmp_path, content):
    tokenizer = model_of_ones_own(tmp_path)
    for name in ("config.json", "provenance.json"):
        kept = (tokenizer.folder / name).read_text()
        (tokenizer.folder / name).write_text(content)
        with pytest.raises(TwostageError, match=name):
            asked("sampling.generate", (*SMOKE, f"prior={tokenizer.out}"))
        (tokenizer.folder / name).write_text(kept)


def test_how_names_the_folders_and_the_tokenizer_of_the_condition(tmp_path):
    tokenizer = model_of_ones_own(tmp_path)
    got = asked("priors.train", (*SMOKE, f"tokenizer={tokenizer.out}", "priors.learning_rate=1e-3"))
    latents = got.jobs[got.job.inputs["latents"]]
    assert got.how(latents) == f"make it: python -m twostage latents.encode scale=smoke tokenizer={tokenizer.out}"
    got = asked("priors.train", (*SMOKE, "tokenizers.loop.steps=7", "priors.condition=edges_f4"))
    condition = got.jobs[got.job.inputs["condition"]]
    assert got.how(condition) == "make it: python -m twostage latents.encode scale=smoke tokenizers=edges_f4"
    of_map = got.jobs[condition.inputs["tokenizer"]]
    assert got.how(of_map) == "make it: python -m twostage tokenizers.train scale=smoke tokenizers=edges_f4"
