"""Figures of the studies on SUNDAE priors: every promised file, the paper beside ours, same input same bytes."""

import pytest

from tests.unit.evaluation.test_denoiser_summaries import compared, inpainted, pixels
from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.figures.sundae_inpainting import SundaeInpaintingConfig, sundae_inpainting
from twostage.figures.sundae_pixels import SundaePixelsConfig, sundae_pixels
from twostage.figures.sundae_vs_autoregressive import SundaeVsAutoregressiveConfig, sundae_vs_autoregressive
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_csv
from twostage.runtime.job import Job

LOOK = FiguresConfig(style="neurips2024", palette={"gpt": "#0072B2", "sundae": "#009E73"}, png_dpi=50)
PRINTED = [{"label": "VQGAN + SUNDAE", "steps": 100, "fid": 10.56, "density": 0.77, "coverage": 0.43}]
STUDIES = {
    "sundae_vs_autoregressive": (
        sundae_vs_autoregressive,
        SundaeVsAutoregressiveConfig("it comes close", {"row": PRINTED}, LOOK),
        compared,
    ),
    "sundae_inpainting": (sundae_inpainting, SundaeInpaintingConfig("they are diverse", LOOK), inpainted),
    "sundae_pixels": (sundae_pixels, SundaePixelsConfig("they are coherent", LOOK), pixels),
}


def job(tmp_path, verb):
    """A figures job over the summary of its study."""
    _, _, summarise = STUDIES[verb]
    files = [name.format(variant="name") for name in VERBS[f"figures.{verb}"].files]
    inputs = {"row": summarise(tmp_path).out}
    return Job("figures", verb, "name", "smoke", {}, inputs, str(tmp_path / "figure"), files)


def drawn(tmp_path, verb):
    """The lines of the table and the text that the job writes."""
    draw, config, _ = STUDIES[verb]
    made = job(tmp_path, verb)
    draw(config, made)
    return read_csv(made.folder / "name.csv"), (made.folder / "name.md").read_text()


@pytest.mark.parametrize("verb", STUDIES)
def test_same_input_gives_the_same_bytes(tmp_path, verb):
    draw, config, _ = STUDIES[verb]
    assert_same_files_twice(draw, config, job(tmp_path, verb))


def test_the_table_has_both_priors_and_the_papers_rows(tmp_path):
    (transformer, sundae, paper), text = drawn(tmp_path, "sundae_vs_autoregressive")
    assert [line["set"] for line in (transformer, sundae)] == ["transformer", "SUNDAE, 10 steps"]
    assert (transformer["fid"], transformer["chain_steps"], sundae["chain_steps"]) == ("90", "", "10")
    assert (sundae["temperature"], sundae["proportion"], sundae["denoising_nats_per_token"]) == (
        "1.0 to 0.5", "0.5", "2.5",
    )  # fmt: skip
    assert (paper["source"], paper["fid"], paper["chain_steps"], paper["scale"]) == ("paper", "10.56", "100", "")
    for part in (
        "paper: VQGAN + SUNDAE",
        "10.56",
        "denoising loss 2.500",
        "no likelihood",
        "first 50 samples",
        "100 real",
        "at temperature 1.0 to 0.5, proportion 0.5",
        "FID∞ is too high",
        "params [M]",
    ):
        assert part in text


def test_masks_and_classes_have_their_numbers(tmp_path):
    (block, causal), text = drawn(tmp_path / "masks", "sundae_inpainting")
    assert (block["mask"], block["redrawn_to_original"], block["kept_to_original"]) == ("block", "15", "0")
    assert (causal["prior"], causal["redrawn_to_original"]) == ("transformer", "30")
    assert (block["prior_steps"], causal["prior_steps"]) == ("10", "17")
    assert "The transformer, of 17 steps in 5 s" in text
    assert (causal["temperature_start"], causal["temperature_end"]) == ("0.4", "0.4")
    assert "token by token at temperature 0.4" in text
    assert block["kept_tokenizer_alone"] == "3"
    assert "originals to the real images" in text
    (everything, dark, bright), _ = drawn(tmp_path / "classes", "sundae_pixels")
    assert [line["class"] for line in (everything, dark, bright)] == ["all", "dark", "bright"]
    assert [line["classified_as_asked"] for line in (everything, dark, bright)] == ["0.75", "0.5", "1"]
