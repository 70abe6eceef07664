"""Summaries over the factor f: what is compared is alike, and improvements have the right sign."""

import numpy as np
import pytest

from tests.unit.evaluation.test_agreement import Levels
from twostage.errors import TwostageError
from twostage.evaluation.f_sweep import FSweepConfig, f_sweep
from twostage.evaluation.pixels_vs_latents import PixelsVsLatentsConfig, pixels_vs_latents
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_array, read_json, write_array, write_csv, write_json
from twostage.runtime.job import Job
from twostage.weights.lpips import PerceptualDistance

from .conftest import random_images

NLL = "validation_nll_nats_per_token"
DISTANCES = ("fid_infinity", "fid_infinity_standard_error", "precision", "recall", "density", "coverage")
PRIOR = {
    NLL: 3.0, "unigram_entropy_nats": 6.0, "num_parameters": 1000, "steps": 10, "train_seconds": 20.0,
    "seconds_per_step": 2.0, "learning_rate": 0.002, "learning_rate_at_edge": False, "threads": 1,
    "clock": "process CPU time",
}  # fmt: skip
SAMPLING = {
    "seconds_per_image": 0.4, "tokens_per_image": 1024, "num_images": 50, "batch_size": 50, "temperature": 1.0,
    "top_k": 100, "top_p": None, "window": [8, 8], "threads": 1, "clock": "process CPU time",
}  # fmt: skip


def write_line(folder, prefix, fid, prior=(), sampling=(), shade=0):
    """What the upstream jobs of one line leave; returns them as inputs."""
    write_json(folder / prefix / "prior/metrics.json", PRIOR | dict(prior))
    points = [{"step": step, "train_seconds": 2.0 * step, NLL: 6.0 - step * 0.3} for step in (0, 10)]
    write_csv(folder / prefix / "prior/curve.csv", points)
    write_json(folder / prefix / "sampling/metrics.json", SAMPLING | dict(sampling))
    write_array(folder / prefix / "sampling/samples.npy", np.full((50, 4, 4, 3), shade, np.uint8))
    samples = dict.fromkeys(DISTANCES, 0.5) | {"fid": fid, "kid_mean": fid / 1000, "kid_std_over_subsets": 0.01}
    write_json(folder / prefix / "samples/metrics.json", samples | {"protocol": {"real": {"images": 100}}})
    write_json(folder / prefix / "latents/metadata.json", {"num_codes": 512, "grid": [32, 32]})
    write_json(folder / prefix / "tokenizer/metrics.json", {"train_seconds": 300.0})
    reconstructed = {"lpips_vgg": 0.1, "lpips_vgg_std_over_images": 0.02, "psnr_decibels": 25.0, "codes_used": 500}
    write_json(folder / prefix / "reconstruct/metrics.json", reconstructed | {"perplexity": 400.0})
    nll = {"nll_nats_per_image": 1536.0, "nll_nats_per_image_std_over_images": 50.0, "images": 10}
    write_json(folder / prefix / "likelihood/metrics.json", nll)
    names = ("prior", "sampling", "samples", "latents", "tokenizer", "reconstruct", "likelihood")
    return {f"{prefix}.{name}": str(folder / prefix / name) for name in names}


def write_pace(folder, own, rival, architectures=("gpt", "gpt")):
    """What `priors.pace` leaves of two priors whose steps cost so many seconds."""
    ratio = rival / own
    names = ("own", "rival")
    pace = {"seconds_ratio": ratio, "seconds_ratio_ci95_low": ratio - 0.01, "seconds_ratio_ci95_high": ratio + 0.01}
    pace |= {"seconds_per_step": {"own": own, "rival": rival}, "gflops_per_step": {"own": 5.0, "rival": 50.0}}
    pace |= {"architecture": dict(zip(names, architectures, strict=True))}
    write_json(folder / "pace/metrics.json", pace | {"threads": 1, "clock": "process CPU time"})
    return {"pace": str(folder / "pace")}


def job(tmp_path, verb, inputs):
    out = str(tmp_path / "out")
    return Job("evaluation", verb, verb, "smoke", {}, inputs, out, VERBS[f"evaluation.{verb}"].files)


def compared(tmp_path, **latents):
    latents = {"fid": 150.0, "prior": {"train_seconds": 40.0, "steps": 90}} | latents
    latents = {"sampling": {"seconds_per_image": 0.05, "tokens_per_image": 256}} | latents
    inputs = write_line(tmp_path, "pixels", 200.0) | write_line(tmp_path, "latents", shade=9, **latents)
    inputs |= write_pace(tmp_path, own=0.2, rival=2.0)
    names = {"pixels": "kmeans_f1", "latents": "vqgan_f2"}
    made = job(tmp_path, "pixels_vs_latents", inputs)
    pixels_vs_latents(PixelsVsLatentsConfig("cifar10", 32, names, 3), made)
    return made


def test_a_lower_fid_is_an_improvement_and_fewer_seconds_a_speedup(tmp_path):
    made = compared(tmp_path)
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    metrics = read_json(made.folder / "metrics.json")
    assert metrics["fid_improvement_percent"] == pytest.approx(25)
    assert metrics["kid_improvement_percent"] == pytest.approx(25)
    assert metrics["sampling_speedup"] == pytest.approx(8)
    assert metrics["rows"]["latents"]["tokenizer"] == "vqgan_f2"
    assert metrics["rows"]["latents"]["tokenizer_train_seconds"] == 300
    # On the clock of their pace, whatever each run's own clock said beside its neighbours.
    assert [metrics["rows"][kind]["train_seconds"] for kind in ("pixels", "latents")] == pytest.approx([20, 18])
    assert metrics["curves"]["latents"]["train_seconds"] == pytest.approx([0, 2])
    assert (metrics["pace"]["seconds_ratio"], metrics["pace"]["gflops_per_step"]["own"]) == (pytest.approx(10), 5.0)
    assert metrics["curves"]["pixels"]["share_of_unigram_entropy"] == pytest.approx([1, 0.5])
    grid = read_array(made.folder / "grid.npy")
    assert grid.shape == (2, 3, 4, 4, 3)
    assert (grid[0].max(), grid[1].min()) == (0, 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": {"steps": 101}}, "101 steps on latents take longer than 10 on pixels"),
        ({"prior": {"learning_rate": 0.004}}, r"latents has learning_rate 0\.004, pixels has 0\.002"),
        ({"prior": {"threads": 2}}, "latents has threads 2, pixels has 1"),
        ({"prior": {"clock": "wall time"}}, "latents has clock wall time, pixels has process CPU time"),
        ({"sampling": {"num_images": 40}}, "latents has num_images 40, pixels has 50"),
        ({"sampling": {"batch_size": 25}}, "latents has batch_size 25, pixels has 50"),
        ({"sampling": {"top_p": 0.9}}, r"latents has top_p 0\.9, pixels has None"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, changes, message):
    with pytest.raises(TwostageError, match=message):
        compared(tmp_path, **changes)
    assert not (tmp_path / "out").exists()


def swept(tmp_path, **second):
    inputs = write_line(tmp_path, "f1", 200.0)
    inputs |= write_line(tmp_path, "f4", **{"fid": 100.0, "sampling": {"seconds_per_image": 0.01}} | second)
    made = job(tmp_path, "f_sweep", inputs)
    names = {"f1": "kmeans_f1", "f4": "vqgan_f4"}
    f_sweep(FSweepConfig("cifar10", 16, 8, names, 3), made)
    return made


def test_every_factor_has_its_line_and_speed_is_that_over_the_first(tmp_path):
    made = swept(tmp_path)
    metrics = read_json(made.folder / "metrics.json")
    one, four = metrics["factors"].values()
    assert [row["factor"] for row in (one, four)] == [1, 4]
    assert (one["sampling_speedup"], four["sampling_speedup"]) == (1, pytest.approx(40))
    assert (four["lpips"], four["lpips_std_over_images"], four["likelihood_images"]) == (0.1, 0.02, 10)
    # 16x16 pixels of three channels.
    assert four["nll_nats_per_dimension"] == pytest.approx(2)
    assert read_array(made.folder / "grid.npy").shape == (2, 3, 4, 4, 3)


@pytest.mark.parametrize(
    ("job", "key", "value"),
    [("prior", "steps", 20), ("prior", "learning_rate", 0.004), ("sampling", "threads", 2), ("sampling", "top_k", 7)],
)
def test_factors_of_unlike_budgets_or_samples_are_refused(tmp_path, job, key, value):
    with pytest.raises(TwostageError, match=f"f4 has {key} {value}"):
        swept(tmp_path, **{job: {key: value}})


def swept_with_maps(tmp_path, monkeypatch):
    """Samples of f = 2 are the real images of their own layouts, those of f = 4 know nothing of them."""
    monkeypatch.setattr(PerceptualDistance, "load", classmethod(lambda cls, path: Levels()))
    real = random_images(60, 0)
    # A garment in one half of each image, left or right in turn.
    layout = np.zeros((60, 16, 16, 1), np.uint8)
    layout[::2, :, :8], layout[1::2, :, 8:] = 3, 4
    real = np.where(layout > 0, np.maximum(real, 99), 0).astype(np.uint8)
    write_array(tmp_path / "data/validation_image.npy", real)
    write_array(tmp_path / "maps/validation_segmentation.npy", layout)
    inputs = {name: str(tmp_path / name) for name in ("data", "maps", "vgg16")}
    for factor, images in (("f2", real[:50]), ("f4", np.roll(real, 1, 0)[:50])):
        inputs |= write_line(tmp_path, factor, 100.0)
        write_array(tmp_path / factor / "sampling/samples.npy", images)
        write_array(tmp_path / factor / "reconstruct/grid.npy", np.stack([real[:8], 255 - real[:8]]))
    out = str(tmp_path / "out")
    made = Job(
        "evaluation", "f_sweep", "f_sweep_conditional", "smoke", {}, inputs, out, VERBS["evaluation.f_sweep"].files
    )
    given = {"condition": "segmentation", "measures": ["silhouette_iou"], "num_labels": 11}
    names = {"f2": "vqgan_f2", "f4": "vqgan_f4"}
    f_sweep(FSweepConfig("fashion_mnist", 16, 4, names, 3, **given), made)
    return made


def test_samples_are_held_against_their_own_map_and_by_chance_against_the_next(tmp_path, monkeypatch):
    made = swept_with_maps(tmp_path, monkeypatch)
    metrics = read_json(made.folder / "metrics.json")
    two, four = metrics["factors"].values()
    assert list(two["agreement"]) == ["silhouette_iou", "lpips_to_truth", "psnr_to_truth_decibels"]
    assert (two["agreement"]["silhouette_iou"], two["agreement_by_chance"]["silhouette_iou"]) == (1, 0)
    assert two["agreement"]["lpips_to_truth"] == 0
    assert (four["agreement"]["silhouette_iou"], four["agreement_by_chance"]["silhouette_iou"]) == (0, 1)
    assert metrics["condition"] == "segmentation"
    # Maps, real images, then samples and reconstructions of both factors.
    grid = read_array(made.folder / "grid.npy")
    assert grid.shape == (6, 3, 16, 16, 3)
    assert (grid[1] == grid[2]).all()
    assert (grid[3] == grid[5]).all()
    assert (grid[3] == 255 - grid[1]).all()
    assert not (grid[0] == grid[1]).all()
