import itertools
import warnings

import lpips
import pytest
import torch

from twostage.errors import TwostageError
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.weights.lpips import HEADS, PerceptualDistance


@pytest.fixture(params=["vgg16", "alexnet"])
def name(request):
    return request.param


@pytest.fixture
def distance(name, converted):
    return PerceptualDistance.load(converted(name))


@pytest.fixture
def pair(cifar_images):
    image_BCHW = torch.from_numpy(cifar_images).permute(0, 3, 1, 2) / 127.5 - 1
    return image_BCHW[:8], image_BCHW[8:]


def reference(name, converted) -> lpips.LPIPS:
    """The lpips package's own network with the same backbone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=HEADS[name], pnet_rand=True, verbose=False)
    tensors, _ = read_tensors(converted(name) / "model.safetensors")
    positions = {key.split(".", 1)[1]: key for key in network.net.state_dict()}
    network.net.load_state_dict({positions[key.removeprefix("features.")]: value for key, value in tensors.items()})
    return network


def test_it_equals_the_lpips_package(name, distance, pair, converted):
    with torch.no_grad():
        expected_B = reference(name, converted)(*pair).flatten()
    torch.testing.assert_close(distance(*pair), expected_B, atol=1e-6, rtol=0)


def test_its_gradient_equals_the_lpips_packages(name, distance, pair, converted):
    gradients = []
    for network in (distance, reference(name, converted)):
        image_BCHW = pair[0].clone().requires_grad_()
        network(image_BCHW, pair[1]).sum().backward()
        gradients.append(image_BCHW.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)
    assert gradients[0].abs().max() > 0


def test_features_of_the_real_image_need_no_graph(distance, pair):
    """The gradient with features of one side computed without graph equals that of the whole formulation."""
    gradients = []
    for whole in (True, False):
        image_BCHW = pair[0].clone().requires_grad_()
        with torch.set_grad_enabled(whole):
            real = distance.features(pair[1])
        assert not any(level.requires_grad for level in real)
        distance.distance(distance.features(image_BCHW), real).sum().backward()
        gradients.append(image_BCHW.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=0, rtol=0)


def test_a_training_loop_does_not_change_it(distance, pair):
    before = distance(*pair)
    model = torch.nn.Sequential(distance)
    model.train()
    assert not any(module.training for module in distance.modules())
    torch.testing.assert_close(distance(*pair), before, atol=0, rtol=0)


def test_nothing_of_it_is_trained(distance):
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_more_damage_is_more_distance(distance, pair):
    image_BCHW, _ = pair
    assert distance(image_BCHW, image_BCHW).abs().max() == 0
    noise_BCHW = torch.randn(image_BCHW.shape, generator=torch.Generator().manual_seed(0))
    means = [distance(image_BCHW, image_BCHW + scale * noise_BCHW).mean() for scale in (0.05, 0.1, 0.2, 0.4)]
    assert all(small < large for small, large in itertools.pairwise(means))


def test_other_weights_are_refused(converted, tmp_path):
    with pytest.raises(TwostageError, match="no LPIPS backbone; expected vgg16 or alexnet"):
        PerceptualDistance.load(converted("inception"))
    tensors, metadata = read_tensors(converted("alexnet") / "model.safetensors")
    tensors.pop("features.0.bias")
    write_tensors(tmp_path / "model.safetensors", tensors, metadata)
    with pytest.raises(TwostageError, match="weights of alexnet do not match"):
        PerceptualDistance.load(tmp_path)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(TwostageError, match=r"model.safetensors is missing"):
        PerceptualDistance.load(tmp_path / "model.safetensors")
