"""Agreement with conditions: samples, reconstructions and real images held against the same, and their pictures."""

import numpy as np
import pytest

from tests.studies import collected, point, write_prior
from tests.unit.evaluation.test_agreement import Levels
from twostage.data.maps import canny_edges
from twostage.errors import TwostageError
from twostage.evaluation import agree as module
from twostage.evaluation.agree import AgreeConfig, agree
from twostage.evaluation.collect import CollectConfig
from twostage.evaluation.conditions import shown_map
from twostage.runtime.artifacts import read_array, read_csv, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.weights.lpips import PerceptualDistance

from .conftest import random_images

CONDITIONS, PER_CONDITION = 6, 2
EDGES = ["edges_f1", "lpips_to_truth"]


@pytest.fixture
def agreed(tmp_path, monkeypatch):
    """Runs the verb on samples, on reconstructions (the images themselves) or on real images; its job."""
    monkeypatch.setattr(PerceptualDistance, "load", classmethod(lambda cls, path: Levels()))
    monkeypatch.setattr(module, "reconstructed", lambda folder, images, batch_size: images)
    real = random_images(8, 0)
    write_array(tmp_path / "data/validation_image.npy", real)
    write_array(tmp_path / "data/validation_label.npy", np.arange(8) % 2)
    write_json(tmp_path / "data/metadata.json", {"classes": ["cat", "dog"]})
    write_array(tmp_path / "maps/validation_edges.npy", canny_edges(real, 1.0)[..., None])

    def run(name, samples=None, quantities=EDGES, **changes):
        inputs = {each: str(tmp_path / each) for each in ("data", "maps", "vgg16")}
        if samples is not None:
            write_array(tmp_path / f"{name}.sampling/samples.npy", samples)
            write_json(tmp_path / f"{name}.sampling/metrics.json",
                       {"temperature": 1.0, "top_k": None, "per_condition": 2, "steps": 30})  # fmt: skip
            inputs["samples"] = str(tmp_path / f"{name}.sampling")
        elif name == "reconstruction":
            inputs["tokenizer"] = str(tmp_path / "tokenizer")
        if changes.get("condition", "edges") != "edges":
            del inputs["maps"]
        config = {"condition": "edges", "conditions": CONDITIONS}
        config |= {"per_condition": PER_CONDITION} if samples is not None else {}
        job = Job("evaluation", "agree", name, "smoke", {}, inputs, str(tmp_path / name), ["metrics.json"])
        agree(AgreeConfig(quantities, **config | changes), job)
        return job

    return run


def copies():
    """Of every condition the real image and its mirror."""
    real = random_images(8, 0)[:CONDITIONS]
    return np.stack([real, real[:, :, ::-1]], axis=1).reshape(-1, *real.shape[1:])


def test_who_knows_the_condition_agrees_with_it_and_who_does_not_hardly(agreed):
    found = {
        name: read_json(agreed(name, samples).folder / "metrics.json")
        for name, samples in
        (("conditional", copies()), ("unconditional", random_images(12, 5)), ("reconstruction", None), ("real", None))
    }  # fmt: skip
    # Half of the samples are the real images themselves.
    assert found["conditional"]["edges_f1"] > found["unconditional"]["edges_f1"]
    assert found["real"]["edges_f1"] == found["reconstruction"]["edges_f1"] == pytest.approx(1)
    assert found["reconstruction"]["lpips_to_truth"] == 0
    assert found["conditional"]["edges_f1_std_over_images"] > 0
    told = {"num_conditions": 6, "size": 16, "temperature": 1.0, "per_condition": 2, "sampling_steps": 30}
    assert found["conditional"]["told"] == told


def test_the_pictures_are_condition_original_and_samples(agreed):
    real = random_images(8, 0)
    job = agreed("conditional", copies(), pictures=3)
    grid = read_array(job.folder / "grid.npy")
    assert read_json(job.folder / "metrics.json")["strips"] == ["condition", "original", "samples", ""]
    assert grid.shape == (4, 3, 16, 16, 3)
    assert np.array_equal(grid[0, ..., 0], canny_edges(real[:3], 1.0))
    assert np.array_equal(grid[1], real[:3])
    assert np.array_equal(grid[2], real[:3])
    assert np.array_equal(grid[3], real[:3, :, ::-1])


def test_completions_are_measured_in_the_half_that_was_drawn(agreed):
    others = random_images(12, 5)
    completed = others.copy()
    completed[:, :8] = random_images(8, 0)[:CONDITIONS].repeat(PER_CONDITION, axis=0)[:, :8]
    halves, wholes = (
        [
            read_json(agreed(name, samples, rows_given=rows_given).folder / "metrics.json")
            for name, samples in {"completed": completed, "others": others}.items()
        ]
        for rows_given in (0.5, 0.0)
    )
    assert [halves[0][name] for name in EDGES] == [halves[1][name] for name in EDGES]
    assert wholes[0]["lpips_to_truth"] < wholes[1]["lpips_to_truth"]
    assert halves[0]["told"] == wholes[0]["told"] | {"drawn_rows": 8}


def test_a_class_is_a_heading_and_a_beginning_is_what_was_given(agreed):
    of_class = agreed("class", copies(), ["lpips_to_truth"], condition="class", pictures=3)
    metrics = read_json(of_class.folder / "metrics.json")
    assert (metrics["strips"], metrics["names"]) == (["original", "samples", ""], ["cat", "dog", "cat"])
    begun = agreed("begun", copies(), ["lpips_to_truth"], condition=None, pictures=3, rows_given=0.25)
    grid = read_array(begun.folder / "grid.npy")
    assert np.array_equal(grid[0, :, :4], grid[1, :, :4])
    assert (grid[0, :, 4:] == 208).all()


def test_more_conditions_than_images_are_one_line(agreed):
    with pytest.raises(TwostageError, match="conditions of 9 images are asked for, and there are 8"):
        agreed("real", conditions=9)


def test_the_table_has_every_model_and_baselines_without_a_seed(agreed, tmp_path):
    models = [("conditional", 0), ("unconditional", 0), ("real", None)]
    runs = {}
    for at, (model, seed) in enumerate(models):
        samples = {"conditional": copies(), "unconditional": random_images(12, 5)}.get(model)
        job = agreed(model, samples, EDGES if samples is not None else ["edges_f1"], pictures=3 if at == 0 else 0)
        runs[at] = {"agreement": job.out} | ({"pictures": job.out} if at == 0 else {})
        runs[at] |= {} if seed is None else write_prior(tmp_path / model, 3.0 + at)
    config = CollectConfig("edges", [point(seed=seed, model=model) for model, seed in models], [*EDGES, "nll"],
                           {"model": "unconditional"}, equal=["steps"], pictures=3)  # fmt: skip
    made = collected(tmp_path, runs, config)
    ends = [line for line in read_csv(made.folder / "table.csv") if line["step"] == ""]
    assert [(line["model"], line["seed"], line["quantity"]) for line in ends] == [
        ("conditional", "0", "edges_f1"), ("conditional", "0", "lpips_to_truth"), ("conditional", "0", "nll"),
        ("unconditional", "0", "edges_f1"), ("unconditional", "0", "lpips_to_truth"), ("unconditional", "0", "nll"),
        ("real", "", "edges_f1"),
    ]  # fmt: skip
    metrics = read_json(made.folder / "metrics.json")
    assert (metrics["num_seeds"], metrics["conditions"]["num_conditions"]) == (1, CONDITIONS)
    assert metrics["strips"] == ["condition", "original", "conditional", ""]
    differences = {(one["values"]["model"], one["quantity"]): one["difference"] for one in metrics["statistics"]}
    assert differences["conditional", "edges_f1"]["mean"] > 0
    assert differences["unconditional", "edges_f1"] is differences["real", "edges_f1"] is None


def test_maps_are_shown_in_colours_and_enlarged_by_whole_pixels():
    label = np.array([[0, 1], [2, 1]], np.uint8)[None, ..., None]
    shown = shown_map(label, 4, 3)
    assert shown.shape == (1, 4, 4, 3)
    assert (shown[0, :2, :2] == 0).all()
    assert len({tuple(colour) for colour in shown.reshape(-1, 3)}) == 3
    grey = shown_map(np.full((1, 4, 4, 1), 7, np.uint8), 4, None)
    assert (grey == 7).all()
