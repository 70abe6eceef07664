"""A made-up results/ folder of one study with samples, and the committed one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twostage.claims.claim import claims
from twostage.runtime.artifacts import write_array, write_csv, write_json

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "results"


@pytest.fixture
def record():
    """Writes a table's record."""

    def write(folder, name, files, rests_on=(), scale="laptop"):
        one = {
            "job": f"figures.study {name}", "scale": scale, "commit": "c" * 40, "uncommitted_changes": False,
            "config_sha256": "a" * 64, "code_sha256": "b" * 64, "python": "3.11.7", "versions": {"torch": "2.14"},
            "device": "CPU", "finished": "2026-11-22", "cpu_seconds": 60.0,
        }  # fmt: skip
        behind = {job: one | {"job": job} for job in rests_on}
        about = {"files_sha256": dict.fromkeys(files, "d" * 64), "rests_on": behind}
        write_json(folder / f"{name}.provenance.json", one | about | {"total": {"num_jobs": 3, "cpu_seconds": 120.0}})

    return write


@pytest.fixture
def results(tmp_path, record):
    """Orderings, whose samples went through a tokenizer of which there are reconstructions."""
    random = np.random.default_rng(0)
    folder = tmp_path / "results"
    (folder / "figures").mkdir(parents=True)
    Image.new("RGBA", (20, 10), (255, 0, 0, 128)).save(folder / "figures/orderings.png")
    (folder / "orderings.md").write_text("| ordering | NLL |\n|:--|:--|\n| row_major | 5.3 |\n\nA <b>caption</b>.\n")
    write_csv(folder / "orderings.csv", [{"ordering": "row_major", "nll": 5.3}])
    files = ["orderings.csv", "orderings.md", "orderings.png", "orderings_samples.png"]
    jobs = ["tokenizers.train cifar10.vqgan_f4", "sampling.generate cifar10.vqgan_f4.gpt.seed0"]
    record(folder, "orderings", files, jobs)
    grids = {"orderings": (2, 3), "cifar10.vqgan_f4": (2, 8)}
    for name, shape in grids.items():
        grid = random.integers(0, 255, (*shape, 4, 4, 3), dtype=np.uint8)
        write_array(folder / "evaluation" / name / "grid.npy", grid)
    write_json(
        folder / "evaluation/orderings/metrics.json",
        {
            "strips": ["row_major", "spiral_in"],
            "statistics": [{"values": {"ordering": "row_major"}}, {"values": {"ordering": "spiral_in"}}],
            "orders": {"row_major": [0, 1, 2, 3], "spiral_in": [3, 1, 0, 2]},
            "rows": {"IN": {"grid": [3, 2]}},
        },
    )
    write_json(folder / "evaluation/cifar10.vqgan_f4/metrics.json", {"lpips_vgg": 0.2, "psnr_decibels": 23.0})
    blank = dict.fromkeys(
        ("first_look", "effect", "low", "high", "ours", "printed", "quantity", "scale", "missing", "note"), ""
    )
    rows = [blank | {"id": claim.id, "verdict": "not measured at this scale", "missing": "luck"} for claim in claims()]
    measured = {"verdict": "inconclusive", "effect": "-0.1", "low": "-1", "high": "0.8", "ours": "5.3 5.4"}
    next(row for row in rows if row["id"] == "E20").update(measured, missing="", quantity="nll", scale="laptop")
    write_csv(folder / "claims.csv", rows)
    return folder
