"""What a job is known to choose: by its own config, and by the jobs whose models and data it reads."""

import pytest

from twostage.planning.choices import choices_of, joined, keys
from twostage.planning.prompt import asked
from twostage.planning.verbs import new_job, reading
from twostage.planning.whole import plan_of

TREE = {"scale": {"name": "smoke"}}


def test_words_of_the_schema_are_choices_and_names_are_none():
    assert {"architecture", "ordering", "source", "layout", "map", "network", "init"} <= keys()
    assert not {"name", "root", "maps", "condition"} & keys()


def test_choices_of_a_config_are_found_at_any_depth():
    config = {"own": {"architecture": "gpt"}, "rivals": [{"architecture": "sundae"}], "name": "x", "ordering": None}
    assert choices_of(config) == {"architecture": ["gpt", "sundae"], "ordering": [None]}


def test_a_list_of_words_is_several_choices():
    assert choices_of({"orderings": ["spiral_in", "row_major"]}) == {"ordering": ["row_major", "spiral_in"]}
    assert choices_of({"orderings": []}) == {"ordering": [None]}


def test_what_is_not_known_stays_unknown():
    assert joined([{"map": ["image"]}, {"map": ["edges"], "layout": ["paper"]}]) == {
        "layout": ["paper"],
        "map": ["edges", "image"],
    }
    assert joined([{"map": ["image"]}, None]) is None


def prior(architecture, **inputs):
    return new_job("priors.train", architecture, TREE, {"architecture": architecture}, inputs)


def test_a_job_chooses_what_the_models_that_it_reads_are():
    sampling = new_job("sampling.generate", "s", TREE, {"seed": 0}, {"prior": prior("gpt")})
    assert sampling.choices == {"architecture": ["gpt"]}


def test_a_model_of_which_only_numbers_are_read_decides_nothing_that_the_config_says():
    pace = new_job("priors.pace", "p", TREE, {"own": {"architecture": "gpt"}, "rival": {"architecture": "sundae"}}, {})
    assert pace.choices == {"architecture": ["gpt", "sundae"]}
    assert prior("gpt", pace=pace).choices == {"architecture": ["gpt"]}
    compared = new_job("evaluation.compare", "c", TREE, {}, {"gpt": prior("gpt"), "pixelsnail": prior("pixelsnail")})
    assert compared.choices == {"architecture": ["gpt", "pixelsnail"]}


def test_an_input_that_comes_later_adds_its_choices():
    job = new_job("sampling.generate", "s", TREE, {}, {"prior": prior("gpt")})
    data = new_job("data.prepare", "d", TREE, {"source": "folder"}, {})
    assert reading(job, [data]).choices == {"architecture": ["gpt"], "source": ["folder"]}


@pytest.mark.usefixtures("repository_conf")
def test_of_a_folder_of_the_users_nothing_is_known(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text("{}")
    found = asked("latents.encode", ("scale=smoke", f"tokenizer={tmp_path}/mine"))
    assert found.job.choices is None


@pytest.mark.usefixtures("repository_conf")
def test_choices_are_no_part_of_what_a_job_is_asked():
    plan = plan_of("orderings", "smoke")
    job = next(job for job in plan.jobs.values() if job.verb == "generate")
    assert job.choices is not None
    assert job.choices["ordering"] == ["row_major"]
    assert "choices" not in job.config
    assert job.sha12 == type(job)(**{**vars(job), "choices": None}).sha12
