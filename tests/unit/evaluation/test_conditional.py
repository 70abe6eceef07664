"""The summary of one task: both models held against the same conditions, over seeds, with a grid of samples."""

import numpy as np
import pytest

from tests.unit.evaluation.test_agreement import Levels
from twostage.data.maps import canny_edges
from twostage.errors import TwostageError
from twostage.evaluation import conditional as module
from twostage.evaluation.conditional import ConditionalConfig, conditional
from twostage.evaluation.conditions import shown_map
from twostage.planning.verbs import FILES
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.weights.lpips import PerceptualDistance

from .conftest import random_images

NLL, DENOISING = "validation_nll_nats_per_token", "validation_denoising_nats_per_token"
BOUND = "validation_bound_nats_per_token"
CONDITIONS, PER_CONDITION = 6, 2
PRIOR = {"steps": 10, "num_parameters": 99, "learning_rate": 0.01, "learning_rate_at_edge": False,
         "architecture": "gpt", NLL: 3.0}  # fmt: skip
DRAWN = {"temperature": 1.0, "top_k": 16, "top_p": None, "per_condition": PER_CONDITION,
         "num_images": CONDITIONS * PER_CONDITION, "given_tokens_per_image": 0}  # fmt: skip
SUNDAE = {key: value for key, value in PRIOR.items() if key != NLL} | {"architecture": "sundae", DENOISING: 2.5}
CHAINS = DRAWN | {"top_k": None, "steps": 30, "min_steps": 10, "temperature": [1.0, 0.5], "proportion": [0.5, 0.5]}
ABSORBING = {key: value for key, value in PRIOR.items() if key != NLL} | {"architecture": "absorbing", BOUND: 2.75}
UNMASKED = DRAWN | {"top_k": None, "steps": 64}


def evaluated(tmp_path, monkeypatch, odd_prior=None, odd_drawn=None, prior=PRIOR, drawn=DRAWN, **changes):
    """A conditional model that copies the real image and its mirror, and one that knows of no condition."""
    monkeypatch.setattr(PerceptualDistance, "load", classmethod(lambda cls, path: Levels()))
    monkeypatch.setattr(module, "reconstructed", lambda folder, images, batch_size: images)
    real = random_images(8, 0)
    write_array(tmp_path / "data/validation_image.npy", real)
    write_array(tmp_path / "data/validation_label.npy", np.arange(8) % 2)
    write_json(tmp_path / "data/metadata.json", {"classes": ["cat", "dog"]})
    write_array(tmp_path / "maps/validation_edges.npy", canny_edges(real, 1.0)[..., None])
    copies = np.stack([real[:CONDITIONS], real[:CONDITIONS, :, ::-1]], axis=1).reshape(-1, 16, 16, 3)
    inputs = {name: str(tmp_path / name) for name in ("data", "maps", "vgg16", "tokenizer")}
    for seed in (0, 1):
        for model, images in (("conditional", copies), ("unconditional", random_images(12, 5 + seed))):
            name, odd = f"{model}.seed{seed}", (model, seed) == ("unconditional", 1)
            write_array(tmp_path / f"{name}.sampling/samples.npy", images)
            write_json(tmp_path / f"{name}.sampling/metrics.json", drawn | ((odd and odd_drawn) or {}))
            write_json(tmp_path / f"{name}.prior/metrics.json", prior | ((odd and odd_prior) or {}))
            inputs |= {f"{name}.{part}": str(tmp_path / f"{name}.{part}") for part in ("sampling", "prior")}
    for model, fid in (("conditional", 40.0), ("unconditional", 60.0)):
        found = {"fid": fid, "kid_mean": fid / 1000, "protocol": {"real": {"images": 8}}}
        write_json(tmp_path / f"{model}.samples/metrics.json", found)
        inputs[f"{model}.samples"] = str(tmp_path / f"{model}.samples")
    job = Job("evaluation", "conditional", "edges", "smoke", {}, inputs, str(tmp_path / "out"),
              FILES["evaluation.conditional"])  # fmt: skip
    values = {"name": "edges", "task": "edges to image", "data": "toy", "condition": "edges", "seeds": [0, 1],
              "measures": ["edges"], "grid_images": 3, "paper_says": "nothing"}  # fmt: skip
    conditional(ConditionalConfig(**values | changes), job)
    return job


def test_who_knows_the_condition_agrees_with_it_and_who_does_not_hardly(tmp_path, monkeypatch):
    metrics = read_json(evaluated(tmp_path, monkeypatch).folder / "metrics.json")
    rows = metrics["rows"]
    assert list(rows) == ["conditional", "unconditional", "reconstruction", "real"]
    # Half of the samples are the real images themselves.
    assert rows["conditional"]["edges_f1"]["mean"] > rows["unconditional"]["edges_f1"]["mean"]
    assert rows["real"]["edges_f1"]["mean"] == rows["reconstruction"]["edges_f1"]["mean"] == pytest.approx(1)
    assert rows["reconstruction"]["lpips_to_truth"]["mean"] == 0
    assert rows["conditional"]["edges_f1"]["std"] == 0
    assert rows["unconditional"]["edges_f1"]["std"] > 0
    assert len(rows["unconditional"]["edges_f1"]["per_seed"]) == 2
    assert "diversity_lpips" in rows["conditional"]
    assert [rows[model]["fid"] for model in ("conditional", "unconditional")] == [{"mean": 40}, {"mean": 60}]
    assert metrics["nll_nats_per_token"]["conditional"]["mean"] == 3
    assert (metrics["num_conditions"], metrics["conditional"]["steps"]) == (CONDITIONS, 10)
    assert metrics["names"] == ["cat", "dog", "cat"]


def test_the_grid_shows_condition_truth_and_samples(tmp_path, monkeypatch):
    grid = read_array(evaluated(tmp_path, monkeypatch).folder / "grid.npy")
    real = random_images(8, 0)
    assert grid.shape == (3, 2 + PER_CONDITION, 16, 16, 3)
    assert np.array_equal(grid[:, 0, ..., 0], canny_edges(real[:3], 1.0))
    assert np.array_equal(grid[:, 1], real[:3])
    assert np.array_equal(grid[:, 2], real[:3])
    assert np.array_equal(grid[:, 3], real[:3, :, ::-1])


def test_runs_of_unlike_budgets_are_refused(tmp_path, monkeypatch):
    with pytest.raises(TwostageError, match="of the unconditional runs one has steps 20, another 10"):
        evaluated(tmp_path, monkeypatch, odd_prior={"steps": 20})


def test_sundae_has_a_score_and_a_chain_but_no_likelihood(tmp_path, monkeypatch):
    metrics = read_json(evaluated(tmp_path, monkeypatch, prior=SUNDAE, drawn=CHAINS).folder / "metrics.json")
    assert "nll_nats_per_token" not in metrics
    assert metrics["denoising_nats_per_token"]["unconditional"]["mean"] == 2.5
    assert (metrics["conditional"]["steps"], metrics["conditional"]["chain_steps"]) == (10, 30)
    assert metrics["conditional"]["temperature"] == [1.0, 0.5]


def test_absorbing_diffusion_has_a_bound_and_steps_of_unmasking(tmp_path, monkeypatch):
    metrics = read_json(evaluated(tmp_path, monkeypatch, prior=ABSORBING, drawn=UNMASKED).folder / "metrics.json")
    assert metrics["bound_nats_per_token"]["unconditional"]["mean"] == 2.75
    assert not {"nll_nats_per_token", "denoising_nats_per_token"} & set(metrics)
    assert (metrics["conditional"]["steps"], metrics["conditional"]["unmasking_steps"]) == (10, 64)
    with pytest.raises(TwostageError, match="of the unconditional runs one has unmasking_steps 32"):
        evaluated(tmp_path, monkeypatch, prior=ABSORBING, drawn=UNMASKED, odd_drawn={"steps": 32})


@pytest.mark.parametrize("odd", [{"steps": 20}, {"proportion": [0.5, 0.9]}, {"temperature": [1.0, 1.0]}])
def test_runs_of_unlike_chains_are_refused(tmp_path, monkeypatch, odd):
    (key,) = odd
    with pytest.raises(TwostageError, match=f"of the unconditional runs one has {key.replace('steps', 'chain_steps')}"):
        evaluated(tmp_path, monkeypatch, prior=SUNDAE, drawn=CHAINS, odd_drawn=odd)


def test_one_seed_has_no_spread(tmp_path, monkeypatch):
    with pytest.raises(TwostageError, match="at least two seeds"):
        evaluated(tmp_path, monkeypatch, seeds=[0])


def test_maps_are_shown_in_colours_and_enlarged_by_whole_pixels():
    label = np.array([[0, 1], [2, 1]], np.uint8)[None, ..., None]
    shown = shown_map(label, 4, 3)
    assert shown.shape == (1, 4, 4, 3)
    assert (shown[0, :2, :2] == 0).all()
    assert len({tuple(colour) for colour in shown.reshape(-1, 3)}) == 3
    grey = shown_map(np.full((1, 4, 4, 1), 7, np.uint8), 4, None)
    assert (grey == 7).all()
