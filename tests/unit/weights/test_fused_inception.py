"""The fast extractor against torch-fidelity's own, with the same weights and images."""

import numpy as np
import pytest
import torch
import torch_fidelity
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_array
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.sources.fetch import obtain
from twostage.weights import fused_inception, inception


class Pictures(torch.utils.data.Dataset):
    """uint8 CHW, as torch-fidelity takes them."""

    def __init__(self, images_NHWC):
        self.image_NCHW = torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).contiguous()

    def __len__(self):
        return len(self.image_NCHW)

    def __getitem__(self, position):
        return self.image_NCHW[position]


@pytest.fixture(scope="session")
def real_images():
    """Thirty-two real images, uint8 NHWC."""
    return read_array(obtain("cifar10").paths["test_image.npy"])[:32].copy()


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_every_feature_equals_the_stock_extractors(converted, cifar_images):
    names = ("64", "192", "768", "2048")
    image_BCHW = torch.from_numpy(cifar_images[:8]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        stock = inception.load(converted("inception"), names)(image_BCHW)
        fused = fused_inception.load(converted("inception"), names)(image_BCHW)
    for name, expected_BD, found_BD in zip(names, stock, fused, strict=True):
        assert found_BD.shape == (8, int(name))
        close(found_BD, expected_BD)


def test_logits_equal_the_stock_extractors(converted, cifar_images, tmp_path):
    tensors, metadata = read_tensors(converted("inception") / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    classifier = {"fc.weight": torch.randn(1008, 2048, generator=generator) / 45, "fc.bias": torch.arange(1008.0)}
    write_tensors(tmp_path / "model.safetensors", tensors | classifier, metadata)
    names = ("logits", "2048", "logits_unbiased")
    image_BCHW = torch.from_numpy(cifar_images[:2]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        stock = inception.load(tmp_path, names)(image_BCHW)
        fused = fused_inception.load(tmp_path, names)(image_BCHW)
    for expected, found in zip(stock, fused, strict=True):
        close(found, expected)
    assert fused_inception.provenance(tmp_path)["classifier"]
    assert not fused_inception.provenance(converted("inception"))["classifier"]


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (299, 299), (320, 310)])
def test_the_resize_is_torch_fidelitys_bit_for_bit(size):
    image_BCHW = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected_BCHW = interpolate_bilinear_2d_like_tensorflow1x(image_BCHW.float(), size=(299, 299), align_corners=False)
    found_BCHW = fused_inception.resized(image_BCHW, 299)
    assert torch.equal(found_BCHW, expected_BCHW)
    assert found_BCHW.is_contiguous(memory_format=torch.channels_last)


def fid(extractor, weights, first, second, layer):
    numbers = torch_fidelity.calculate_metrics(
        input1=Pictures(first), input2=Pictures(second), fid=True, cuda=False, verbose=False, cache=False,
        save_cpu_ram=True, batch_size=24, feature_extractor=extractor, feature_layer_fid=layer,
        feature_extractor_weights_path=str(weights),
    )  # fmt: skip
    return numbers["frechet_inception_distance"]


def test_fid_equals_torch_fidelitys_own(converted, real_images, tmp_path):
    stock = inception.load(converted("inception"))
    torch.save(stock.state_dict(), tmp_path / "stock.pth")
    halves = real_images[:16], real_images[16:]
    expected = fid("inception-v3-compat", tmp_path / "stock.pth", *halves, "2048")
    found = fid(fused_inception.NAME, converted("inception"), *halves, "2048")
    assert found == pytest.approx(expected, rel=1e-3)
    assert expected > 10


def test_noise_raises_fid(converted, real_images):
    noise = np.random.default_rng(0).normal(0, 40, real_images[16:].shape)
    noisy = (real_images[16:] + noise).clip(0, 255).astype(np.uint8)
    weights = converted("inception")
    clean = fid(fused_inception.NAME, weights, real_images[:16], real_images[16:], "192")
    assert fid(fused_inception.NAME, weights, real_images[:16], noisy, "192") > 2 * clean


def test_it_is_frozen_fused_and_registered(converted):
    extractor = fused_inception.load(converted("inception"))
    assert isinstance(extractor, FeatureExtractorInceptionV3)
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in extractor.modules())
    assert torch_fidelity.registry.FEATURE_EXTRACTORS_REGISTRY[fused_inception.NAME] is fused_inception.FusedInception


def test_missing_weights_name_the_command_that_fetches_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        TwostageError, match=r"snakemake --cores all \S*/inception/model\.safetensors --config scale=smoke"
    ):
        fused_inception.load("artifacts/smoke/weights/inception")


def test_logits_without_a_classifier_are_refused(converted):
    with pytest.raises(TwostageError, match="has no classifier"):
        fused_inception.load(converted("inception"), ("2048", "logits_unbiased"))


def test_other_than_bytes_is_refused(converted):
    extractor = fused_inception.load(converted("inception"), ("64",))
    for image in (torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="expected uint8 images"):
            extractor(image)
