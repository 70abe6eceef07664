"""Verb `evaluation.rfid`: FID and KID between images and reconstructions, apart from the cheaper LPIPS and PSNR."""

# N images, D features

import logging

import numpy as np
import torch

from twostage import tokenizers
from twostage.config.schema import ReconstructionsConfig
from twostage.errors import TwostageError
from twostage.evaluation.distribution import frechet_distance, kernel_distance
from twostage.evaluation.features import extract, image_sizes, real_images
from twostage.evaluation.reconstruct import reconstructions
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, read_json, write_json
from twostage.runtime.job import Job
from twostage.weights import fused_inception

log = logging.getLogger(__name__)


def rfid(config: ReconstructionsConfig, job: Job) -> None:
    """Writes metrics.json: rFID and the KID of reconstructions over the images with stored features; the protocol."""
    images = real_images(job.upstream("data"), config, "evaluation.rfid_images")
    stored_ND = read_array(job.upstream("real") / "features.npy")
    if len(images) > len(stored_ND):
        raise TwostageError(
            f"evaluation.rfid_images asks for {len(images)} images, but {job.inputs['real']} holds features of "
            f"{len(stored_ND)}; lower it or run evaluation.features with more"
        )
    # Both are of the split's first images, so fewer reconstructions are compared with the features of the same ones.
    real_ND = torch.from_numpy(np.array(stored_ND[: len(images)]))
    tokenizer = tokenizers.load(job.upstream("tokenizer"))
    extractor = fused_inception.load(job.upstream("inception")).to(training.device())
    outputs = reconstructions(tokenizer, images, config.batch_size, job.variant)
    output_ND = torch.from_numpy(extract(extractor, outputs)["2048"])
    subset_size = min(config.kid_subset_size, len(real_ND))
    kid_mean, kid_std = kernel_distance(real_ND, output_ND, config.kid_subsets, subset_size, config.seed)
    protocol = read_json(job.upstream("real") / "metadata.json")
    metrics = {
        "variant": job.variant,
        "scale": job.scale,
        "rfid": frechet_distance(real_ND, output_ND),
        "rkid_mean": kid_mean,
        "rkid_std_over_subsets": kid_std,
        "protocol": {
            **protocol,
            "real": protocol["real"] | image_sizes(images),
            "kid": {"subsets": config.kid_subsets, "subset_size": subset_size, "seed": config.seed},
            "reconstructions": {"from": job.inputs["tokenizer"], **image_sizes(images)},
        },
    }
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: rFID %.2f over %d images", job.variant, metrics["rfid"], len(images))
