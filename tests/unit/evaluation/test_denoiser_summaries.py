"""Summaries of the studies on SUNDAE priors: what is compared is alike, and numbers mean what they say."""

import numpy as np
import pytest

from tests.unit.evaluation.test_factor_summaries import NLL, write_line, write_pace
from twostage.errors import TwostageError
from twostage.evaluation.sample_sets import SampleSetsConfig, sample_sets
from twostage.evaluation.sundae_inpainting import SundaeInpaintingConfig, sundae_inpainting
from twostage.evaluation.sundae_pixels import SundaePixelsConfig, class_means, classified, sundae_pixels
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_array, read_json, write_array, write_json
from twostage.runtime.job import Job
from twostage.runtime.scores import DENOISING

CHAIN = {"steps": 10, "min_steps": 10, "temperature": [1.0, 0.5], "proportion": [0.5, 0.5], "mean_steps_per_image": 9.5,
         "top_k": None}  # fmt: skip


def job(tmp_path, verb, inputs, variant=""):
    out = str(tmp_path / "out" / verb)
    return Job("evaluation", verb, variant or verb, "smoke", {}, inputs, out, VERBS[f"evaluation.{verb}"].files)


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


def compared(tmp_path, **sundae):
    """A transformer beside SUNDAE."""
    inputs = write_set(tmp_path, "set0", 90.0, prior={"architecture": "gpt", "train_seconds": 5.0})
    inputs |= write_set(tmp_path, "set1", **{"fid": 110.0} | sundae)
    inputs |= write_pace(tmp_path, own=0.5, rival=0.75, architectures=("gpt", "sundae"))
    config = SampleSetsConfig("sundae_vs_autoregressive", "FFHQ256", "cifar10", "vqgan_f4", 4,
                              ["transformer", "SUNDAE, 10 steps"], 3)  # fmt: skip
    made = job(tmp_path, "sample_sets", inputs)
    sample_sets(config, made)
    return made


def test_priors_of_unlike_training_are_compared_and_a_transformer_has_no_chain(tmp_path):
    transformer, sundae = read_json(compared(tmp_path).folder / "metrics.json")["sets"].values()
    assert (transformer["chain_steps"], transformer["network_evaluations"]) == (None, 1024)
    assert (sundae["chain_steps"], sundae["network_evaluations"], sundae["fid"]) == (10, 9.5, 110.0)
    assert (sundae["denoising_nats_per_token"], sundae["temperature"]) == (2.5, [1.0, 0.5])


def test_the_first_samples_of_every_set_are_kept(tmp_path):
    made = compared(tmp_path)
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    assert read_array(made.folder / "grid.npy").shape == (2, 3, 4, 4, 3)


def test_priors_that_are_matched_in_time_have_their_seconds_on_one_clock(tmp_path):
    metrics = read_json(compared(tmp_path).folder / "metrics.json")
    seconds = [row["train_seconds"] for row in metrics["sets"].values()]
    assert seconds == pytest.approx([5, 7.5])
    assert metrics["pace"]["seconds_ratio"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("sundae", "message"),
    [
        ({"evaluated": 40}, "SUNDAE, 10 steps has evaluated_images 40, transformer has 50"),
        ({"clock": "wall time"}, "has clock wall time"),
    ],
)
def test_sets_that_differ_in_more_are_refused(tmp_path, sundae, message):
    with pytest.raises(TwostageError, match=message):
        compared(tmp_path, **sundae)


@pytest.mark.parametrize("sundae", [{"prior": {"threads": 2}}, {"threads": 2}])
def test_seconds_of_unlike_numbers_of_threads_are_refused(tmp_path, sundae):
    with pytest.raises(TwostageError, match="SUNDAE, 10 steps has threads 2, transformer has 1"):
        compared(tmp_path, **sundae)


def inpainted(tmp_path, num_results=2):
    """Two grey images; the right half is drawn anew, ten levels off in the first result and twenty in the second; by a
    transformer twice as far off.

    Of the three real images two were encoded, which the tokenizer makes brighter: by three levels on the left.
    """
    original_NHWC = np.stack([np.full((4, 4, 3), shade, np.uint8) for shade in (100, 150)])
    mask_HW = np.zeros((4, 4), bool)
    mask_HW[:, 2:] = True
    for folder, off in (("sundae", 10), ("transformer", 20)):
        result_NRHWC = np.repeat(original_NHWC[:, None], num_results, axis=1)
        result_NRHWC[:, 0, :, 2:] += off
        result_NRHWC[:, 1:, :, 2:] += 2 * off
        arrays = {"originals": original_NHWC, "samples": result_NRHWC.reshape(-1, 4, 4, 3), "mask": mask_HW,
                  "code_mask": mask_HW[::2, ::2]}  # fmt: skip
        for name, array in arrays.items():
            write_array(tmp_path / f"{folder}/{name}.npy", array)
    real_NHWC = original_NHWC[[0, 1, 0]] - np.array([3, 3, 9, 9], np.uint8)[:, None]
    write_array(tmp_path / "data/validation_image.npy", real_NHWC)
    sampling = CHAIN | {"results_per_image": num_results, "tokens_per_image": 4, "given_tokens_per_image": 2,
                        "masked_share_of_pixels": 0.5, "rule": "all_pixels", "seconds_per_image": 0.1,
                        "clock": "process CPU time"}  # fmt: skip
    write_json(tmp_path / "sundae/metrics.json", sampling)
    # A prior that draws token by token has one temperature, and no schedules.
    one = {key: value for key, value in sampling.items() if key not in CHAIN} | {"steps": 4, "temperature": 0.4}
    write_json(tmp_path / "transformer/metrics.json", one)
    for name, steps in (("sundae", 10), ("transformer", 17)):
        write_json(tmp_path / f"prior_{name}/metrics.json", {"steps": steps, "train_seconds": 5.0})
    names = {"block.SUNDAE": "sundae", "block.transformer": "transformer", "prior.SUNDAE": "prior_sundae",
             "prior.transformer": "prior_transformer", "data": "data"}  # fmt: skip
    made = job(tmp_path, "sundae_inpainting", {name: str(tmp_path / folder) for name, folder in names.items()})
    sundae_inpainting(SundaeInpaintingConfig("FFHQ1024", "cifar10", ["block"], ["SUNDAE", "transformer"], 1), made)
    return made


def test_distances_of_what_is_drawn_anew_and_of_what_is_kept(tmp_path):
    made = inpainted(tmp_path)
    metrics = read_json(made.folder / "metrics.json")
    assert metrics["num_images"] == 2
    found, by_transformer = metrics["drawn"]
    assert [(each["mask"], each["prior"]) for each in metrics["drawn"]] == [
        ("block", "SUNDAE"), ("block", "transformer"),
    ]  # fmt: skip
    assert (by_transformer["redrawn_to_original"], by_transformer["temperature"]) == (pytest.approx(30), 0.4)
    assert found["redrawn_to_original"] == pytest.approx(15)
    assert found["redrawn_between_results"] == pytest.approx(10)
    assert found["redrawn_other_image"] == pytest.approx(50)
    assert found["kept_to_original"] == 0
    assert found["kept_tokenizer_alone"] == pytest.approx(3)
    grid_KNRHWC = read_array(made.folder / "grid.npy")
    assert grid_KNRHWC.shape == (2, 1, 4, 4, 4, 3)
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
    sundae_pixels(SundaePixelsConfig("FashionMNIST", "toy", "greys_f1", images, 8), made)
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
