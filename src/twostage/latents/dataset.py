"""Reads latents: index grids of images, alone or paired with those of a spatial condition."""

# N images, T image tokens, S condition tokens, h w grid

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_array, read_json


@dataclass(frozen=True)
class TokenSpace:
    """What a prior must know about its tokens: vocabulary and grid (rows, columns), and the same for a condition.

    `tokenizer_sha256` identifies the meaning of the codes: the checksum of their tokenizer, or a replacement for it.
    Latents always have it. None means an unknown tokenizer, as for a released prior.
    """

    num_codes: int
    grid: tuple[int, int]
    condition: "TokenSpace | None" = None
    map: str = "image"  # what is encoded: two maps with equal vocabularies and grids are still different conditions
    tokenizer_sha256: str | None = None

    @property
    def num_tokens(self) -> int:
        """Number of tokens of one image, without its condition."""
        return self.grid[0] * self.grid[1]

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TokenSpace":
        """The inverse of `as_json`."""
        condition = values["condition"]
        rows, columns = values["grid"]
        paired = None if condition is None else cls.from_json(condition)
        return cls(values["num_codes"], (rows, columns), paired, values["map"], values["tokenizer_sha256"])

    def require_meaning(self, sha256: str | None, source: object) -> None:
        """Raises TwostageError if the checksum `sha256` shows that the codes of `source` have another meaning.

        Codes without a checksum are refused if these have one.
        """
        if self.tokenizer_sha256 is None or sha256 == self.tokenizer_sha256:
            return
        raise TwostageError(
            f"{source} has as many codes of {self.map} as the prior was trained with, but from another tokenizer "
            f"(sha256 {str(sha256)[:12]}, expected {self.tokenizer_sha256[:12]}); use the prior's own tokenizer or "
            "classes, or train it again"
        )


@dataclass(frozen=True)
class Split:
    """Tokens of one split in row-major order: memory maps uint16 [N, T] and, with a condition, [N, S]."""

    image_NT: np.ndarray
    condition_NS: np.ndarray | None

    def __len__(self) -> int:
        return len(self.image_NT)


@dataclass(frozen=True)
class Latents:
    """One latents folder, optionally with the folder of its condition. Create it by `open_latents`."""

    image: Path
    condition: Path | None
    tokens: TokenSpace
    unigram_entropy_nats: dict[str, float]  # per split, for the image tokens

    def split(self, name: str) -> Split:
        """The tokens of `train`, `tune` or `validation`."""
        image_NT = self._read(self.image, name, self.tokens)
        if self.condition is None or self.tokens.condition is None:
            return Split(image_NT, None)
        return Split(image_NT, self._read(self.condition, name, self.tokens.condition))

    @staticmethod
    def _read(folder: Path, split: str, tokens: TokenSpace) -> np.ndarray:
        index_Nhw = read_array(folder / index_file(split))
        if index_Nhw.shape[1:] != tokens.grid or index_Nhw.dtype != np.uint16:
            raise TwostageError(
                f"{folder / index_file(split)} holds {index_Nhw.dtype} grids {index_Nhw.shape[1:]}, its metadata says "
                f"uint16 {tokens.grid}; delete the folder and encode again"
            )
        return index_Nhw.reshape(len(index_Nhw), tokens.num_tokens)


def index_file(split: str) -> str:
    """File name of a split's index grids."""
    return f"{split}_index.npy"


def open_latents(image: Path, condition: Path | None = None) -> Latents:
    """Opens latents and checks that a condition belongs to the same images with the same flips.

    Raises TwostageError if a metadata file is incomplete or the two folders do not match.
    """
    metadata = _metadata(image)
    paired = None
    if condition is not None:
        other = _metadata(condition)
        _check_pair(image, metadata, condition, other)
        paired = _token_space(other, None)
    entropy = {name: float(split["unigram_entropy_nats"]) for name, split in metadata["splits"].items()}
    return Latents(image, condition, _token_space(metadata, paired), entropy)


def _metadata(folder: Path) -> dict[str, Any]:
    metadata = read_json(folder / "metadata.json")
    missing = {"num_codes", "grid", "map", "tokenizer_sha256", "data", "flips", "splits"} - set(metadata)
    if missing or not metadata["tokenizer_sha256"]:
        raise TwostageError(
            f"{folder}/metadata.json lacks {', '.join(sorted(missing)) or 'the checksum of its tokenizer'}; "
            "delete the folder and encode again"
        )
    return metadata


def _token_space(metadata: dict[str, Any], condition: TokenSpace | None) -> TokenSpace:
    rows, columns = metadata["grid"]
    return TokenSpace(metadata["num_codes"], (rows, columns), condition, metadata["map"], metadata["tokenizer_sha256"])


def _check_pair(image: Path, metadata: dict[str, Any], condition: Path, other: dict[str, Any]) -> None:
    def facts(of: dict[str, Any]) -> dict[str, Any]:
        splits = {f"{name} split": (s["num_images"], s.get("manifest_sha256")) for name, s in of["splits"].items()}
        return {"data": of["data"], "flips": of["flips"], **splits}

    ours, theirs = facts(metadata), facts(other)
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            raise TwostageError(
                f"{condition} cannot condition {image}: its {name} is {theirs.get(name)}, expected {ours.get(name)}; "
                "encode both from the same dataset with the same latents.flips and latents.train_images"
            )
