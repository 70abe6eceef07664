"""The conversions against what they were converted from."""

import pickle
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from twostage.config.schema import WeightsConfig
from twostage.errors import TwostageError
from twostage.runtime.job import Job
from twostage.runtime.tensors import read_tensors
from twostage.sources.fetch import obtain
from twostage.sources.pickles import load_arrays
from twostage.weights import inception
from twostage.weights.convert import CONVOLUTIONS, PACKAGE_NAMES, backbone, convert, inception_state
from twostage.weights.lpips import head_weights


def package_file(name, suffix):
    ((_, path),) = obtain(name).paths.items()
    if path.suffix != suffix:
        pytest.skip(f"the cache holds the official {path.name}; this compares with the package")
    return path


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_heads_of_the_source_equal_those_of_the_lpips_package(name):
    arrays = load_arrays(package_file(name, ".ckpt").read_bytes(), name)
    for level, head_C in enumerate(head_weights(name)):
        kernel_11CO = arrays[f"NetLinLayer_{level}"]["Conv_0"]["kernel"]
        np.testing.assert_array_equal(np.asarray(kernel_11CO).ravel(), head_C.numpy())


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_convolutions_equal_those_of_the_source(name, converted):
    tensors, metadata = read_tensors(converted(name) / "model.safetensors")
    layers = load_arrays(package_file(name, ".ckpt").read_bytes(), name)[PACKAGE_NAMES[name]]
    for layer, position in enumerate(CONVOLUTIONS[name]):
        kernel_HWIO = np.asarray(layers[f"Conv_{layer}"]["kernel"])
        weight_OIHW = tensors[f"features.{position}.weight"].numpy()
        height, width, num_in, num_out = kernel_HWIO.shape
        assert weight_OIHW.shape == (num_out, num_in, height, width)
        np.testing.assert_array_equal(weight_OIHW[-1, 1, 2, 0], kernel_HWIO[2, 0, 1, -1])
        np.testing.assert_array_equal(weight_OIHW.transpose(2, 3, 1, 0), kernel_HWIO)
        np.testing.assert_array_equal(tensors[f"features.{position}.bias"], layers[f"Conv_{layer}"]["bias"])
    assert metadata["name"] == name


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_names_and_shapes_are_torchvisions(name, converted):
    tensors, _ = read_tensors(converted(name) / "model.safetensors")
    with torch.device("meta"):
        features = getattr(torchvision.models, name)().features
    expected = {f"features.{key}": value.shape for key, value in features.state_dict().items()}
    assert {key: value.shape for key, value in tensors.items()} == expected


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_the_official_file_gives_the_same_tensors(name, converted, tmp_path):
    """torchvision's format: the whole state dict, with a classifier that is left out."""
    tensors, _ = read_tensors(converted(name) / "model.safetensors")
    torch.save(tensors | {"classifier.0.weight": torch.zeros(2, 2)}, tmp_path / f"{name}-01234567.pth")
    official = backbone(tmp_path / f"{name}-01234567.pth", name)
    assert official.keys() == tensors.keys()
    assert all(torch.equal(official[key], tensors[key]) for key in tensors)


def test_official_files_are_not_unpickled(tmp_path):
    torch.save({"features.0.weight": object()}, tmp_path / "vgg16-01234567.pth")
    with pytest.raises(pickle.UnpicklingError, match="object"):
        backbone(tmp_path / "vgg16-01234567.pth", "vgg16")


def test_a_file_with_other_tensors_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg16-01234567.pth")
    with pytest.raises(TwostageError, match=r"vgg16-01234567.pth has unexpected or missing tensors \(features.0.bias"):
        backbone(tmp_path / "vgg16-01234567.pth", "vgg16")


def test_inception_features_equal_those_of_the_torchscript_original(converted, cifar_images):
    image_BCHW = torch.from_numpy(cifar_images).permute(0, 3, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = torch.jit.load(str(package_file("inception", ".pt")))
    resized_BCHW = interpolate_bilinear_2d_like_tensorflow1x(image_BCHW.float(), size=(299, 299), align_corners=False)
    with torch.no_grad():
        expected_BD = original((resized_BCHW - 128) / 128).flatten(1)
        (feature_BD,) = inception.load(converted("inception"))(image_BCHW)
    assert feature_BD.shape == (16, 2048)
    assert expected_BD.abs().max() > 1
    torch.testing.assert_close(feature_BD, expected_BD, atol=1e-5, rtol=0)


def test_the_official_inception_gives_the_same_tensors(converted, tmp_path):
    """torch-fidelity's format: its own names, with the classifier."""
    tensors, _ = read_tensors(converted("inception") / "model.safetensors")
    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save(tensors | classifier, tmp_path / "official.pth")
    assert inception_state(tmp_path / "official.pth").keys() == (tensors | classifier).keys()
    torch.save(tensors, tmp_path / "cut.pth")
    with pytest.raises(TwostageError, match=r"unexpected or missing tensors \(fc.bias, fc.weight\)"):
        inception_state(tmp_path / "cut.pth")


def test_an_unknown_network_is_named(tmp_path):
    job = Job("weights", "convert", "resnet", "smoke", {}, {}, str(tmp_path), [])
    with pytest.raises(TwostageError, match=r"weights.name is 'resnet'; expected vgg16, alexnet or inception"):
        convert(WeightsConfig("resnet"), job)
    assert list(tmp_path.iterdir()) == []
