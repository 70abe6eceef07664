"""Every model of McKinney & Willcocks 2022, Tables 3 and 4, as conf/ describes it: built without memory, counted."""

from pathlib import Path

import pytest
import torch

from twostage.config import composition
from twostage.config.composition import compose, parse
from twostage.config.schema import PriorConfig, TokenizerConfig
from twostage.latents.dataset import TokenSpace
from twostage.priors.model import build, num_parameters
from twostage.priors.sundae import Sundae
from twostage.tokenizers import Tokenizer

# As printed: codebook, latent shape, unroll steps, depth, heads, classes; in every row width 1024 and shortening by 4.
TABLE_3 = {
    "ffhq256": (1024, (16, 16), 3, [3, 16, 3], 8, None),
    "ffhq1024": (8192, (32, 32), 3, [2, 12, 2], 8, None),
    "celeba": (1024, (16, 16), 3, [2, 12, 2], 8, None),
    "mnist": (256, (28, 28), 2, [2, 8, 2], 8, 10),
    "fashion_mnist": (256, (28, 28), 2, [2, 8, 2], 8, 10),
    "imagenet": (1024, (16, 16), 3, [3, 14, 3], 12, 1000),
}
# Codes that stage 1 makes at the paper's scale; those of the pixels of MNIST are greys.
STAGE_1 = {
    "ffhq256": ("ffhq", "vqgan_f16"),
    "ffhq1024": ("ffhq_1024", "vqgan_f32_k8192"),
    "celeba": ("celeba_hq", "vqgan_f16"),
    "imagenet": ("imagenet", "vqgan_f16"),
}


@pytest.fixture(autouse=True)
def conf(monkeypatch):
    monkeypatch.setattr(composition, "CONF", Path(__file__).parents[3] / "conf")


@pytest.mark.parametrize("row", TABLE_3)
def test_every_row_of_table_3_is_a_model(row):
    num_codes, grid, unrolls, depth, heads, classes = TABLE_3[row]
    config = parse(PriorConfig, compose(("scale=paper", f"priors=sundae_{row}"))["priors"])
    sizes = config.sundae
    assert (sizes.unrolls, sizes.depth, sizes.num_heads) == (unrolls, depth, heads)
    assert (sizes.width, sizes.shorten_factor, sizes.resampling, sizes.rotary) == (1024, 4, "patches", "axial")
    tokens = TokenSpace(num_codes, grid, None if classes is None else TokenSpace(classes, (1, 1), map="class"))
    with torch.device("meta"):
        model = build(config, tokens)
        index_BT = torch.empty(2, tokens.num_tokens, dtype=torch.int64)
        class_B1 = None if classes is None else torch.empty(2, 1, dtype=torch.int64)
        assert model(index_BT, class_B1).shape == (2, tokens.num_tokens, num_codes)
    assert isinstance(model, Sundae)
    number = num_parameters(model)
    print(f"{row}: {number / 1e6:.1f} M parameters")
    # A block of width D and attention width A: 4 A D + 8 D^2, and D for each norm and bias.
    width, inner, (before, within, after) = 1024, 64 * heads, depth
    matrices = (before + within + after + 1) * (4 * inner * width + 8 * width**2)
    matrices += 2 * inner * width + 8 * width**2 + 2 * 4 * width**2 + 2 * num_codes * width
    assert number == pytest.approx(matrices + (classes or 0) * width, rel=2e-3)


@pytest.mark.parametrize("row", STAGE_1)
def test_stage_1_makes_the_codes_of_the_row(row):
    data, tokenizer = STAGE_1[row]
    tree = compose(("scale=paper", f"data={data}", f"tokenizers={tokenizer}"))
    side = tree["data"]["size"] // 2 ** tree["tokenizers"]["num_downsamplings"]
    assert (tree["tokenizers"]["quantizer"]["num_codes"], (side, side)) == TABLE_3[row][:2]


def test_the_vqgan_of_table_4_is_a_model():
    config = parse(TokenizerConfig, compose(("scale=paper", "tokenizers=vqgan_f32_k8192"))["tokenizers"])
    with torch.device("meta"):
        tokenizer = Tokenizer(config, "colour", 3)
        image_BCHW = torch.empty(1, 3, 1024, 1024)
        code_BDHW = tokenizer.features(image_BCHW)
        assert code_BDHW.shape == (1, 256, 32, 32)
        assert tokenizer.decoder(tokenizer.project_out(code_BDHW)).shape == image_BCHW.shape
    assert [config.channels * m for m in config.channel_multipliers] == [128, 128, 256, 256, 512, 512]
    assert (tokenizer.num_codes, tokenizer.factor, config.dropout, config.num_res_blocks) == (8192, 32, 0.0, 1)
    loss = config.loss
    assert (loss.adversarial_start, config.discriminator.layers, loss.adversarial_weight) == (15000, 3, 0.5)
    # Attention where sides are 64 and less: the fifth level and the sixth, of 1024 halved four and five times.
    assert [1024 // 2**level for level in config.attention_levels] == [64, 32]
    assert config.loop.batch_size == 4
    print(f"VQGAN of 1024x1024: {num_parameters(tokenizer) / 1e6:.1f} M parameters")
