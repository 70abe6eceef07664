"""Tables and figures over the factor f: every promised file, the paper's numbers beside ours, same input same bytes."""

from dataclasses import replace

import numpy as np

from tests.unit.evaluation.test_factor_summaries import compared, swept, swept_with_maps
from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.figures.f_sweep import FSweepConfig, f_sweep
from twostage.figures.pixels_vs_latents import PixelsVsLatentsConfig, pixels_vs_latents
from twostage.figures.strips import strip
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_csv, read_json, write_json
from twostage.runtime.job import Job

PAPER = {"fid_improvement_percent": 18.63, "sampling_speedup": 14.08}
PRINTED = {"lpips": {"f4": 0.2}, "sampling_speedup": {"f1": 1.0}}
LOOK = FiguresConfig(style="neurips2024", palette={"pixels": "#E69F00", "latents": "#0072B2"}, png_dpi=50)


def job(tmp_path, verb, summary):
    inputs, out = {verb: summary.out}, str(tmp_path / "figure")
    files = [name.format(variant=verb) for name in VERBS[f"figures.{verb}"].files]
    return Job("figures", verb, verb, "smoke", {}, inputs, out, files)


def test_pixels_vs_latents_tells_both_and_the_paper(tmp_path):
    made = job(tmp_path, "pixels_vs_latents", compared(tmp_path))
    assert_same_files_twice(pixels_vs_latents, PixelsVsLatentsConfig(PAPER, LOOK), made)
    pixels, latents = read_csv(made.folder / "pixels_vs_latents.csv")
    assert (pixels["tokens"], pixels["fid"], pixels["fid_improvement_percent"]) == ("pixels", "200", "")
    assert float(latents["fid_improvement_percent"]) == 25
    assert float(latents["paper_fid_improvement_percent"]) == 18.63
    assert (latents["scale"], latents["num_images"], latents["grid"]) == ("smoke", "50", "32x32")
    text = (made.folder / "pixels_vs_latents.md").read_text()
    for part in ("FID 25.0 % lower (paper: 18.63 %)", "8.00 times as fast (paper: 14.08)", "100 real images",
                 "FID and KID of 50 samples",
                 "At scale smoke: cifar10, 32x32 pixels", "300 s of training not counted"):  # fmt: skip
        assert part in text


def test_f_sweep_tells_every_factor_and_the_paper(tmp_path):
    made = job(tmp_path, "f_sweep", swept(tmp_path))
    assert_same_files_twice(f_sweep, FSweepConfig(PRINTED, figures=LOOK), made)
    one, four = read_csv(made.folder / "f_sweep.csv")
    assert (one["factor"], four["factor"]) == ("1", "4")
    assert (one["paper_lpips"], four["paper_lpips"]) == ("", "0.2")
    assert float(four["sampling_speedup"]) == 40
    text = (made.folder / "f_sweep.md").read_text()
    for part in ("0.100 ± 0.020 (0.20)", "1.00 (1.00)", "40.00", "over 10 validation images", "at most 8x8 tokens"):
        assert part in text


def test_a_sweep_with_maps_tells_how_samples_agree_with_them(tmp_path, monkeypatch):
    made = job(tmp_path, "f_sweep", swept_with_maps(tmp_path, monkeypatch))
    files = [name.format(variant="f_sweep_conditional") for name in VERBS["figures.f_sweep"].files]
    inputs = {"f_sweep_conditional": made.inputs["f_sweep"]}
    made = replace(made, variant="f_sweep_conditional", inputs=inputs, files=files)
    assert_same_files_twice(f_sweep, FSweepConfig({}, "nothing", LOOK), made)
    two, four = read_csv(made.folder / "f_sweep_conditional.csv")
    assert (two["condition"], two["silhouette_iou"], two["silhouette_iou_by_chance"]) == ("segmentation", "1", "0")
    assert (four["silhouette_iou"], four["silhouette_iou_by_chance"]) == ("0", "1")
    text = (made.folder / "f_sweep_conditional.md").read_text()
    for part in ("1.000 (0.000)", "given the segmentation of validation images", "Fig. 10, which prints no numbers",
                 "at most 4x4 tokens"):  # fmt: skip
        assert part in text
    assert "faces" not in text


def test_a_strip_shows_the_images_from_left_to_right():
    images = np.stack([np.full((4, 4, 3), shade, np.uint8) for shade in (10, 20)])
    shown = strip(images)
    assert shown.shape == (6, 12, 3)
    assert (shown[1, 1, 0], shown[1, 7, 0], shown[0, 0, 0]) == (10, 20, 255)


def test_an_improvement_that_means_nothing_is_not_a_number(tmp_path):
    # KID of few samples may be below zero.
    summary = compared(tmp_path)
    metrics = read_json(summary.folder / "metrics.json")
    write_json(summary.folder / "metrics.json", metrics | {"kid_improvement_percent": None})
    made = job(tmp_path, "pixels_vs_latents", summary)
    pixels_vs_latents(PixelsVsLatentsConfig(PAPER, LOOK), made)
    assert "KID not comparably lower" in (made.folder / "pixels_vs_latents.md").read_text()
