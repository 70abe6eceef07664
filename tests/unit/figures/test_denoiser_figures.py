"""Figures of the experiments on SUNDAE priors: every promised file, the paper beside ours, same input same bytes."""

import csv

import pytest

from tests.unit.evaluation.test_denoiser_summaries import compared, inpainted, pixels, resampled, swept
from twostage.configs import FiguresConfig
from twostage.figures.hourglass import HourglassConfig, hourglass
from twostage.figures.sundae_chains import SundaeChainsConfig, sundae_chains
from twostage.figures.sundae_inpainting import SundaeInpaintingConfig, sundae_inpainting
from twostage.figures.sundae_pixels import SundaePixelsConfig, sundae_pixels
from twostage.figures.sundae_vs_autoregressive import SundaeVsAutoregressiveConfig, sundae_vs_autoregressive
from twostage.jobs import FILES, Job

LOOK = FiguresConfig(style="neurips2024", palette={"gpt": "#0072B2", "sundae": "#009E73"}, png_dpi=50)
EXPERIMENTS = {
    "sundae_vs_autoregressive": (sundae_vs_autoregressive, SundaeVsAutoregressiveConfig, compared),
    "sundae_chains": (sundae_chains, SundaeChainsConfig, swept),
    "hourglass": (hourglass, HourglassConfig, resampled),
    "sundae_inpainting": (sundae_inpainting, SundaeInpaintingConfig, inpainted),
    "sundae_pixels": (sundae_pixels, SundaePixelsConfig, pixels),
}


def drawn(tmp_path, verb):
    """The folder of a figures job that ran twice, and its two contents."""
    draw, config, summarise = EXPERIMENTS[verb]
    files = [name.format(variant="name") for name in FILES[f"figures.{verb}"]]
    inputs = {"row": summarise(tmp_path).out}
    made = Job("figures", verb, "name", "smoke", {}, inputs, str(tmp_path / "figure"), files)
    contents = []
    for _ in range(2):
        draw(config(LOOK), made)
        contents.append({name: (made.folder / name).read_bytes() for name in made.files})
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
    return made.folder, contents


@pytest.mark.parametrize("verb", EXPERIMENTS)
def test_same_input_gives_the_same_bytes(tmp_path, verb):
    _, contents = drawn(tmp_path, verb)
    assert contents[0] == contents[1]


def lines(folder):
    with open(folder / "name.csv") as file:
        return list(csv.DictReader(file))


def test_the_table_has_both_priors_and_the_papers_rows(tmp_path):
    folder, _ = drawn(tmp_path, "sundae_vs_autoregressive")
    transformer, sundae, paper = lines(folder)
    assert [line["set"] for line in (transformer, sundae)] == ["transformer", "SUNDAE, 10 steps"]
    assert (transformer["fid"], transformer["chain_steps"], sundae["chain_steps"]) == ("90", "", "10")
    assert (sundae["temperature"], sundae["proportion"], sundae["denoising_nats_per_token"]) == (
        "1.0 to 0.5", "0.5", "2.5",
    )  # fmt: skip
    assert (paper["source"], paper["fid"], paper["chain_steps"], paper["scale"]) == ("paper", "10.56", "100", "")
    text = (folder / "name.md").read_text()
    for part in (
        "paper: VQGAN + SUNDAE",
        "10.56",
        "denoising 2.500",
        "no likelihood",
        "first 50 samples",
        "100 real",
        "at temperature 1.0 to 0.5, proportion 0.5",
        "FID∞ is too high",
        "params [M]",
    ):
        assert part in text


def test_a_sweep_has_a_line_for_every_value(tmp_path):
    folder, _ = drawn(tmp_path, "sundae_chains")
    one, two, paper = lines(folder)
    assert [(line["chain_steps"], line["fid"]) for line in (one, two, paper)] == [
        ("10", "200"), ("20", "100"), ("100", "10.56"),
    ]  # fmt: skip
    text = (folder / "name.md").read_text()
    for part in ("more steps are not better", "steps varies, temperature 1.0 to 0.5.", "0.200 ± 0.010"):
        assert part in text


def test_an_hourglass_has_its_difference_and_interval(tmp_path):
    folder, _ = drawn(tmp_path, "hourglass")
    patches, sequence = lines(folder)
    assert (patches["difference_to_first"], float(sequence["difference_to_first"])) == ("", pytest.approx(0.15))
    assert float(sequence["difference_to_first_ci95_low"]) < 0.15 < float(sequence["difference_to_first_ci95_high"])
    assert "+0.150 ± 0.071 [" in (folder / "name.md").read_text()


def test_masks_and_classes_have_their_numbers(tmp_path):
    folder, _ = drawn(tmp_path / "masks", "sundae_inpainting")
    (block,) = lines(folder)
    assert (block["mask"], block["redrawn_to_original"], block["kept_to_original"]) == ("block", "15", "0")
    folder, _ = drawn(tmp_path / "classes", "sundae_pixels")
    everything, dark, bright = lines(folder)
    assert [line["class"] for line in (everything, dark, bright)] == ["all", "dark", "bright"]
    assert [line["classified_as_asked"] for line in (everything, dark, bright)] == ["0.75", "0.5", "1"]
