"""The Inception-v3 of FID (TensorFlow, 2015-12-05), built by torch-fidelity, with our weights."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from twostage.errors import TwostageError
from twostage.runtime.tensors import read_tensors

_FC_SHAPES = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}


def load(path: Path, features: tuple[str, ...] = ("2048",)) -> FeatureExtractorInceptionV3:
    """The extractor with the weights of `path`, a `model.safetensors` or its folder.

    It takes uint8 BCHW images of any size and returns a tuple of float32 features [B, D], one per name in `features`
    (64, 192, 768, 2048, logits_unbiased, logits). Raises TwostageError if logits are requested and the weights have no
    classifier, such as those of the fallback package.
    """
    path = Path(path)
    tensors, _ = read_tensors(path / "model.safetensors" if path.is_dir() else path)
    if "fc.weight" not in tensors:
        if any(name.startswith("logits") for name in features):
            raise TwostageError(
                f"{path} has no classifier, which logits need; use the weights of torch-fidelity's own file"
            )
        # The module always has this layer. NaN would show any use of it.
        tensors |= {name: torch.full(shape, torch.nan) for name, shape in _FC_SHAPES.items()}
    extractor = _bare(features)
    extractor.load_state_dict(tensors)
    return extractor


def state_names() -> list[str]:
    """Names of the extractor's tensors, in layer order."""
    return list(_bare(("2048",)).state_dict())


class _Extractor(FeatureExtractorInceptionV3):
    """torch-fidelity's constructor unpickles or downloads weights. This class makes it load none."""

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        return super().load_state_dict(state_dict, *arguments, **options) if state_dict else None


def _bare(features: tuple[str, ...]) -> _Extractor:
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder) / "nothing.pth"
        torch.save({}, nothing)
        return _Extractor("inception-v3-compat", list(features), str(nothing))
