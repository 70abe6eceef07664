import pytest
import torch

from twostage.errors import TwostageError
from twostage.runtime.tensors import read_tensors, write_tensors
from twostage.weights import inception


def test_it_is_frozen_and_takes_any_size(converted):
    extractor = inception.load(converted("inception"))
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    image_BCHW = torch.randint(0, 256, (1, 3, 40, 24), dtype=torch.uint8)
    (feature_BD,) = extractor(image_BCHW)
    assert feature_BD.shape == (1, 2048)
    assert feature_BD.isfinite().all()


def test_logits_without_a_classifier_are_refused(converted, tmp_path):
    tensors, metadata = read_tensors(converted("inception") / "model.safetensors")
    without = {key: value for key, value in tensors.items() if not key.startswith("fc.")}
    write_tensors(tmp_path / "model.safetensors", without, metadata)
    with pytest.raises(TwostageError, match="has no classifier"):
        inception.load(tmp_path, ("2048", "logits_unbiased"))


def test_logits_with_a_classifier_are_given(converted, tmp_path):
    tensors, metadata = read_tensors(converted("inception") / "model.safetensors")
    classifier = {"fc.weight": torch.ones(1008, 2048), "fc.bias": torch.zeros(1008)}
    write_tensors(tmp_path / "model.safetensors", tensors | classifier, metadata)
    extractor = inception.load(tmp_path, ("2048", "logits_unbiased"))
    feature_BD, logits_BK = extractor(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    torch.testing.assert_close(logits_BK[0, 0], feature_BD.sum())


def test_ninety_four_convolutions():
    assert sum(name.endswith(".conv.weight") for name in inception.state_names()) == 94
