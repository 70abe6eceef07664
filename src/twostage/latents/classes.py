"""Verb `latents.classes`: the classes of the images of some latents, as a condition of one code an image."""

# N images

from typing import Any

import numpy as np

from twostage import cli
from twostage.artifacts import read_array, read_json, sha256_json, write_array, write_json
from twostage.configs import ClassesConfig
from twostage.errors import TwostageError
from twostage.jobs import SPLITS, Job
from twostage.latents.dataset import index_file
from twostage.latents.statistics import code_statistics


def classes(config: ClassesConfig, job: Job) -> None:  # noqa: ARG001 - it asks for nothing
    """Writes `<split>_index.npy` (uint16 [N, 1, 1]) for every split, then `metadata.json`: latents like any.

    A flipped image has the class of the image. Raises TwostageError if the data have one class alone.
    """
    image = read_json(job.upstream("latents") / "metadata.json")
    names = read_json(job.upstream("data") / "metadata.json")["classes"]
    if len(names) < 2:
        raise TwostageError(f"dataset {image['data']} has no classes to tell apart; give its pictures in sub-folders")
    splits: dict[str, Any] = {}
    for split in SPLITS:
        found = image["splits"][split]
        flipped = 2 if split == "train" and image["flips"] else 1
        label_N = read_array(job.upstream("data") / f"{split}_label.npy")[: found["num_images"] // flipped]
        index_N11 = np.tile(label_N, flipped).astype(np.uint16)[:, None, None]
        write_array(job.folder / index_file(split), index_N11)
        splits[split] = found | code_statistics(np.bincount(index_N11.ravel(), minlength=len(names)))
    metadata = image | {
        "num_codes": len(names),
        "grid": [1, 1],
        "map": "class",
        # No network makes these codes; what they mean is the names of the classes.
        "tokenizer_sha256": sha256_json(names),
        "splits": splits,
    }
    write_json(job.folder / "metadata.json", metadata)


def main() -> None:
    """Command line of the verb."""
    cli.run("latents.classes", ClassesConfig, classes)


if __name__ == "__main__":
    main()
