"""Summaries of the experiments on SUNDAE priors: what is compared is alike, and numbers mean what they say."""

import numpy as np
import pytest

from tests.unit.evaluation.test_factor_summaries import NLL, write_line, write_pace
from twostage.errors import TwostageError
from twostage.evaluation.hourglass import HourglassConfig, hourglass
from twostage.evaluation.sample_sets import SampleSetsConfig, sample_sets
from twostage.evaluation.sundae_inpainting import SundaeInpaintingConfig, sundae_inpainting
from twostage.evaluation.sundae_pixels import SundaePixelsConfig, class_means, classified, sundae_pixels
from twostage.planning.verbs import FILES
from twostage.runtime.artifacts import read_array, read_json, write_array, write_csv, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import DENOISING

CHAIN = {"steps": 10, "min_steps": 10, "temperature": [1.0, 0.5], "proportion": [0.5, 0.5], "mean_steps_per_image": 9.5,
         "top_k": None}  # fmt: skip
PAPER_ROWS = [{"label": "VQGAN + SUNDAE", "steps": 100, "fid": 10.56, "density": 0.77, "coverage": 0.43}]


def job(tmp_path, verb, inputs, variant=""):
    out = str(tmp_path / "out" / verb)
    return Job("evaluation", verb, variant or verb, "smoke", {}, inputs, out, FILES[f"evaluation.{verb}"])


def write_set(tmp_path, prefix, fid, evaluated=50, prior=(), **sampling):
    sundae = {"architecture": "sundae", DENOISING: 2.5} | dict(prior)
    inputs = write_line(tmp_path, prefix, fid, sundae, CHAIN | sampling)
    # A prior has one score: that of its own task.
    path = tmp_path / prefix / "prior/metrics.json"
    other = NLL if sundae["architecture"] == "sundae" else DENOISING
    write_json(path, {key: value for key, value in read_json(path).items() if key != other})
    path = tmp_path / prefix / "samples/metrics.json"
    metrics = read_json(path)
    metrics["protocol"]["samples"] = {"images": evaluated}
    write_json(path, metrics)
    return inputs


def swept(tmp_path, **second):
    inputs = write_set(tmp_path, "set0", 200.0) | write_set(tmp_path, "set1", **{"fid": 100.0, "steps": 20} | second)
    sets = ["proportion 0.5, steps 10", "proportion 0.5, steps 20"]
    config = SampleSetsConfig("sundae_steps", "FFHQ256", "cifar10", "vqgan_f4", 4, sets, "steps", "proportion", 3,
                              "more steps are not better",
                              [PAPER_ROWS[0] | {"label": "steps 100"}])  # fmt: skip
    made = job(tmp_path, "sample_sets", inputs)
    sample_sets(config, made)
    return made


def test_every_value_of_a_chain_has_its_numbers(tmp_path):
    made = swept(tmp_path)
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    one, two = read_json(made.folder / "metrics.json")["sets"].values()
    assert [(row["value"], row["held_value"], row["fid"]) for row in (one, two)] == [(10, 0.5, 200), (20, 0.5, 100)]
    assert (one["network_evaluations"], one["chain_steps"], one["steps"]) == (9.5, 10, 10)
    assert (one["denoising_nats_per_token"], one["temperature"]) == (2.5, [1.0, 0.5])
    assert read_array(made.folder / "grid.npy").shape == (2, 3, 4, 4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluated": 40}, "has evaluated_images 40, proportion 0.5, steps 10 has 50"),
        ({"prior": {"train_seconds": 31.0}}, "has train_seconds 31.0"),
        ({"threads": 2}, "proportion 0.5, steps 20 has threads 2, proportion 0.5, steps 10 has 1"),
        ({"clock": "wall time"}, "has clock wall time"),
    ],
)
def test_sets_that_differ_in_more_are_refused(tmp_path, change, message):
    with pytest.raises(TwostageError, match=message):
        swept(tmp_path, **change)


def compared(tmp_path, **sundae):
    """A transformer beside SUNDAE."""
    inputs = write_set(tmp_path, "set0", 90.0, prior={"architecture": "gpt", "train_seconds": 5.0})
    inputs |= write_set(tmp_path, "set1", 110.0, **sundae)
    inputs |= write_pace(tmp_path, own=0.5, rival=0.75, architectures=("gpt", "sundae"))
    config = SampleSetsConfig("sundae_vs_autoregressive", "FFHQ256", "cifar10", "vqgan_f4", 4,
                              ["transformer", "SUNDAE, 10 steps"], None, None, 3, "it comes close",
                              PAPER_ROWS)  # fmt: skip
    made = job(tmp_path, "sample_sets", inputs)
    sample_sets(config, made)
    return made


def test_priors_of_unlike_training_are_compared_and_a_transformer_has_no_chain(tmp_path):
    transformer, sundae = read_json(compared(tmp_path).folder / "metrics.json")["sets"].values()
    assert (transformer["chain_steps"], transformer["network_evaluations"]) == (None, 1024)
    assert (sundae["chain_steps"], "value" in sundae) == (10, False)


def test_priors_that_are_matched_in_time_have_their_seconds_on_one_clock(tmp_path):
    metrics = read_json(compared(tmp_path).folder / "metrics.json")
    seconds = [row["train_seconds"] for row in metrics["sets"].values()]
    assert seconds == pytest.approx([5, 7.5])
    assert metrics["pace"]["seconds_ratio"] == pytest.approx(1.5)


@pytest.mark.parametrize("sundae", [{"prior": {"threads": 2}}, {"threads": 2}])
def test_seconds_of_unlike_numbers_of_threads_are_refused(tmp_path, sundae):
    with pytest.raises(TwostageError, match="SUNDAE, 10 steps has threads 2, transformer has 1"):
        compared(tmp_path, **sundae)


def write_run(folder, score, seconds=0.2, **changes):
    metrics = {DENOISING: score, "steps": 10, "num_parameters": 1000, "learning_rate": 0.002, "architecture": "sundae",
               "learning_rate_at_edge": False, "threads": 1, "clock": "process CPU time",
               "seconds_per_step": seconds}  # fmt: skip
    write_json(folder / "metrics.json", metrics | changes)
    write_csv(folder / "curve.csv", [{"step": step, DENOISING: score + 1 - step / 10} for step in (0, 10)])
    return str(folder)


def resampled(tmp_path, seeds=(0, 1), **changes):
    scores = {"patches.seed0": 3.0, "patches.seed1": 3.2, "sequence.seed0": 3.1, "sequence.seed1": 3.4}
    inputs = {name: write_run(tmp_path / name, score) for name, score in scores.items()}
    write_run(tmp_path / "sequence.seed0", 3.1, **changes)
    write_json(tmp_path / "latents/metadata.json", {"grid": [8, 8]})
    made = job(tmp_path, "hourglass", inputs | {"latents": str(tmp_path / "latents")})
    config = HourglassConfig("hourglass_resampling", "FFHQ256", "cifar10", "resampling", ["patches", "sequence"],
                             list(seeds), "it improves")  # fmt: skip
    hourglass(config, made)
    return made


def test_differences_are_paired_by_seed(tmp_path):
    patches, sequence = read_json(resampled(tmp_path).folder / "metrics.json")["values"].values()
    assert patches["denoising_nats_per_token"]["mean"] == pytest.approx(3.1)
    assert patches["difference_to_first"] is None
    assert (patches["scores"], sequence["scores"]) == ([3.0, 3.2], [3.1, 3.4])
    assert sequence["difference_to_first"]["mean"] == pytest.approx(0.15)
    assert sequence["difference_to_first"]["std"] == pytest.approx(0.1 / np.sqrt(2))
    assert patches["curve"] == {"step": [0, 10], "mean": pytest.approx([4.1, 3.1])}


def test_one_seed_has_no_spread(tmp_path):
    sequence = read_json(resampled(tmp_path, seeds=[1]).folder / "metrics.json")["values"]["sequence"]
    assert sequence["difference_to_first"] == {
        "mean": pytest.approx(0.2), "std": None, "ci95_low": None, "ci95_high": None,
    }  # fmt: skip


@pytest.mark.parametrize(("key", "value", "other"), [("steps", 20, 10), ("threads", 2, 1)])
def test_runs_that_differ_in_more_are_refused(tmp_path, key, value, other):
    with pytest.raises(TwostageError, match=f"sequence, seed 0 has {key} {value}, patches, seed 0 has {other}"):
        resampled(tmp_path, **{key: value})


def inpainted(tmp_path, num_results=2):
    """Two grey images; the right half is drawn anew, ten levels off in the first result and twenty in the second."""
    original_NHWC = np.stack([np.full((4, 4, 3), shade, np.uint8) for shade in (100, 150)])
    result_NRHWC = np.repeat(original_NHWC[:, None], num_results, axis=1)
    result_NRHWC[:, 0, :, 2:] += 10
    result_NRHWC[:, 1:, :, 2:] += 20
    mask_HW = np.zeros((4, 4), bool)
    mask_HW[:, 2:] = True
    arrays = {"originals": original_NHWC, "samples": result_NRHWC.reshape(-1, 4, 4, 3), "mask": mask_HW,
              "code_mask": mask_HW[::2, ::2]}  # fmt: skip
    for name, array in arrays.items():
        write_array(tmp_path / f"block/{name}.npy", array)
    sampling = CHAIN | {"results_per_image": num_results, "tokens_per_image": 4, "given_tokens_per_image": 2,
                        "masked_share_of_pixels": 0.5, "rule": "all_pixels", "seconds_per_image": 0.1,
                        "clock": "process CPU time"}  # fmt: skip
    write_json(tmp_path / "block/metrics.json", sampling)
    write_json(tmp_path / "prior/metrics.json", {"steps": 10, "train_seconds": 5.0})
    made = job(tmp_path, "sundae_inpainting", {"block": str(tmp_path / "block"), "prior": str(tmp_path / "prior")})
    sundae_inpainting(SundaeInpaintingConfig("FFHQ1024", "cifar10", ["block"], "they are diverse"), made)
    return made


def test_distances_of_what_is_drawn_anew_and_of_what_is_kept(tmp_path):
    made = inpainted(tmp_path)
    metrics = read_json(made.folder / "metrics.json")
    assert metrics["num_images"] == 2
    found = metrics["masks"]["block"]
    assert found["redrawn_to_original"] == pytest.approx(15)
    assert found["redrawn_between_results"] == pytest.approx(10)
    assert found["redrawn_other_image"] == pytest.approx(50)
    assert found["kept_to_original"] == 0
    grid_KNRHWC = read_array(made.folder / "grid.npy")
    assert grid_KNRHWC.shape == (1, 2, 4, 4, 4, 3)
    assert (grid_KNRHWC[0, 0, 1, 0, :, 0] == [100, 100, 128, 128]).all()


def test_one_result_alone_is_refused(tmp_path):
    with pytest.raises(TwostageError, match="set two or more"):
        inpainted(tmp_path, num_results=1)


def pixels(tmp_path, asked=(0, 1, 0, 1), images=4):
    """Two classes, dark and bright; the last sample is bright whatever was asked."""
    shades = {"train": (10, 200, 20, 210), "validation": (15, 205, 190, 190)}
    for split, values in shades.items():
        image_NHWC = np.stack([np.full((2, 2, 3), shade, np.uint8) for shade in values])
        write_array(tmp_path / f"data/{split}_image.npy", image_NHWC)
        write_array(tmp_path / f"data/{split}_label.npy", np.array([0, 1, 0, 1]))
    write_json(tmp_path / "data/metadata.json", {"classes": ["dark", "bright"]})
    samples = np.stack([np.full((2, 2, 3), shade, np.uint8) for shade in (12, 220, 180, 190)])
    write_array(tmp_path / "sampling/samples.npy", samples)
    sampling = CHAIN | {"tokens_per_image": 4, "num_codes": 256, "seconds_per_image": 0.1, "clock": "process CPU time"}
    write_json(tmp_path / "sampling/metrics.json", sampling)
    write_array(tmp_path / "classes/validation_index.npy", np.array(asked, np.uint16)[:, None, None])
    prior = {DENOISING: 2.0, "steps": 10, "num_parameters": 1000, "train_seconds": 5.0, "learning_rate": 0.002,
             "learning_rate_at_edge": None, "unigram_entropy_nats": 3.0}  # fmt: skip
    write_json(tmp_path / "prior/metrics.json", prior)
    inputs = {name: str(tmp_path / name) for name in ("data", "classes", "prior", "sampling")}
    made = job(tmp_path, "sundae_pixels", inputs)
    sundae_pixels(SundaePixelsConfig("FashionMNIST", "toy", "greys_f1", images, 8, "they are coherent"), made)
    return made


def test_samples_are_held_against_their_class_and_real_images_too(tmp_path):
    made = pixels(tmp_path)
    metrics = read_json(made.folder / "metrics.json")
    assert (metrics["classified_as_asked"], metrics["real_classified_rightly"]) == (0.75, 0.75)
    assert metrics["classes"]["dark"] == {
        "num_images": 2, "classified_as_asked": 0.5, "real_classified_rightly": 0.5,
    }  # fmt: skip
    grid_KMHWC = read_array(made.folder / "grid.npy")
    assert grid_KMHWC.shape == (2, 2, 2, 2, 3)
    assert grid_KMHWC[:, :, 0, 0, 0].tolist() == [[12, 180], [220, 190]]


def test_a_class_without_a_sample_is_named(tmp_path):
    with pytest.raises(TwostageError, match="none of 4 samples is of class bright"):
        pixels(tmp_path, asked=(0, 0, 0, 0))


def test_the_nearest_mean_is_that_of_the_plain_formulation():
    random = np.random.default_rng(0)
    image_NHWC = random.integers(0, 256, (40, 3, 3, 3), dtype=np.uint8)
    label_N = random.integers(0, 4, 40)
    mean_KP = class_means(image_NHWC, label_N, 4)
    plain_N = [
        np.argmin([np.linalg.norm(image.ravel() - mean) for mean in mean_KP]) == label
        for image, label in zip(image_NHWC.astype(float), label_N, strict=True)
    ]
    assert classified(image_NHWC, label_N, mean_KP).tolist() == plain_N
