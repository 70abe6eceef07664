"""Every option of conf/tokenizers describes a model that can be built, at every scale."""

import re
from pathlib import Path

import pytest
import torch

from twostage.config.composition import compose, parse
from twostage.config.schema import POSE_LABELS, TokenizerConfig
from twostage.tokenizers import Tokenizer
from twostage.tokenizers.cluster import ClusterConfig

CONF = Path(__file__).parents[3] / "conf"
# Pixels have palettes for models.
NAMES = sorted(path.stem for path in (CONF / "tokenizers").glob("[!_]*.yaml") if not path.stem.endswith("_f1"))
SCALES = sorted(path.stem for path in (CONF / "scale").glob("*.yaml"))
CHANNELS = {
    "image": ("colour", 3), "edges": ("binary", 1), "depth": ("grey", 1), "segmentation": ("labels", 11),
    "low_resolution": ("colour", 3), "pose": ("labels", POSE_LABELS),
}  # fmt: skip


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(CONF.parent)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_option_describes_a_model(name, scale):
    config = parse(TokenizerConfig, compose((f"scale={scale}", f"tokenizers={name}"))["tokenizers"])
    assert config.name == name
    kind, num_channels = CHANNELS[config.map]
    with torch.device("meta"):
        tokenizer = Tokenizer(config, kind, num_channels)
        side = 2 * tokenizer.factor
        output_BCHW = tokenizer.decoder(
            tokenizer.project_out(tokenizer.features(torch.empty(1, num_channels, side, side)))
        )
    assert tokenizer.factor == int(re.search(r"_f(\d+)", name)[1])
    assert output_BCHW.shape == (1, num_channels, side, side)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("name", "map_"), [("kmeans_f1", "image"), ("low_resolution_f1", "low_resolution")])
def test_pixels_are_clustered_as_in_the_paper(name, map_, scale):
    """Esser et al. 2021, Sec. 4.3: f = 1 and k = 512."""
    values = compose((f"scale={scale}", f"tokenizers={name}"))["tokenizers"]
    config = parse(ClusterConfig, {key: values[key] for key in ("name", "map", "kmeans")})
    assert (values["num_downsamplings"], config.map, config.kmeans.num_codes) == (0, map_, 512)


def test_paper_values_are_the_papers():
    """Esser et al. 2021, Table 7 (beta), Eq. 4 (commitment), Eq. 7 (delta), Table 6 (layout)."""
    config = parse(TokenizerConfig, compose(("tokenizers=vqgan_f16",))["tokenizers"])
    assert (config.quantizer.beta, config.quantizer.beta_on, config.loss.adaptive_delta) == (0.25, "commitment", 1e-6)
    assert (config.layout, config.num_downsamplings) == ("paper", 4)
