"""Verb `evaluation.rejection`: class-conditional samples under several cuts of the vocabulary, and under rejection.

Of every setting equally many samples are compared, as FID falls with their number. Source: Esser et al. 2021, Sec. 4.4
and Table 4; rejection by a classifier after Razavi et al. 2019, Sec. 3.4.
"""

# P samples of a pool, A accepted samples, N real images, D features, K classes

import logging
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from twostage.config.schema import SamplesConfig
from twostage.errors import TwostageError
from twostage.evaluation import classifier
from twostage.evaluation.classifier import Classifier
from twostage.evaluation.distribution import inception_score
from twostage.evaluation.features import batches, extract
from twostage.evaluation.sampled import Metrics, metrics_of
from twostage.evaluation.samples import NO_LOGITS, distances, require_enough
from twostage.runtime import training
from twostage.runtime.artifacts import read_array, write_array, write_json
from twostage.runtime.job import Job
from twostage.weights import fused_inception

log = logging.getLogger(__name__)


@dataclass
class Setting:
    """One row: the sampling jobs whose samples make up its pool, and the share of them that is accepted."""

    label: str
    top_k: str
    top_p: float
    acceptance: float
    samplers: list[str]


@dataclass
class RejectionConfig:
    """The rows, and of how many accepted samples each is measured."""

    data: str
    accepted: int
    settings: list[Setting]
    samples: SamplesConfig
    seed: int
    grid_images: int


@dataclass(frozen=True)
class Pool:
    """Samples of one or more sampling jobs, with the class that each was drawn for and the rejector's view of it."""

    images: list[np.ndarray]
    label_P: np.ndarray
    probability_P: np.ndarray  # that the sample shows its class

    @classmethod
    def joined(cls, pools: list["Pool"]) -> "Pool":
        """All samples of several pools, in their order."""
        return cls(
            [part for pool in pools for part in pool.images],
            np.concatenate([pool.label_P for pool in pools]),
            np.concatenate([pool.probability_P for pool in pools]),
        )

    def take(self, place_A: np.ndarray) -> np.ndarray:
        """Images uint8 [A, H, W, 3] at these places of the pool."""
        starts = np.cumsum([0, *(len(images) for images in self.images)])
        of_A = np.searchsorted(starts, place_A, side="right") - 1
        return np.stack([self.images[at][place - starts[at]] for at, place in zip(of_A, place_A, strict=True)])


def rejection(config: RejectionConfig, job: Job) -> None:
    """Writes metrics.json, and grid.npy: accepted samples of every setting, uint8 [settings, grid_images, H, W, 3].

    Raises TwostageError if a pool is too small for what is asked of it, or of other classes than the classifiers'.
    """
    rejector, judge = (classifier.load(job.upstream(name)) for name in ("rejector", "judge"))
    samplers = dict.fromkeys(name for setting in config.settings for name in setting.samplers)
    drawn = {name: _pool(job, name, rejector, judge) for name in samplers}
    pools = {setting.label: Pool.joined([drawn[name] for name in setting.samplers]) for setting in config.settings}
    chosen = {setting.label: _chosen(config, setting, pools[setting.label]) for setting in config.settings}
    real_ND = torch.from_numpy(np.array(read_array(job.upstream("real") / "features.npy")))
    wanted = replace(config.samples, images=config.accepted)
    wanted = replace(wanted, kid_subset_size=min(config.accepted // 2, wanted.kid_subset_size))
    require_enough(wanted, len(real_ND), config.accepted)
    names = ("2048", "logits_unbiased") if _has_classifier(job) else ("2048",)
    extractor = fused_inception.load(job.upstream("inception"), names).to(training.device())
    rows, shown = {}, []
    for setting in config.settings:
        pool, place_A = pools[setting.label], chosen[setting.label]
        images, label_A = pool.take(place_A), pool.label_P[place_A]
        found = extract(extractor, batches(images, wanted.batch_size, setting.label))
        features = {name: torch.from_numpy(feature_AD) for name, feature_AD in found.items()}
        rows[setting.label] = _row(setting, pool) | distances(wanted, real_ND, features["2048"])
        rows[setting.label] |= {"class_accuracy": judge.accuracy(images, label_A)}
        rows[setting.label] |= {"rejector_class_accuracy": rejector.accuracy(images, label_A)}
        rows[setting.label] |= _inception_score(wanted, features.get("logits_unbiased"))
        shown.append(images[: config.grid_images])
        log.info("%s: FID %.1f, class accuracy %.3f", setting.label, rows[setting.label]["fid"],
                 rows[setting.label]["class_accuracy"])  # fmt: skip
    metrics = {
        "scale": job.scale,
        "data": config.data,
        "num_images": config.accepted,
        "real_images": len(real_ND),
        "rejector": metrics_of(job, "rejector"),
        "judge": metrics_of(job, "judge"),
        "rows": rows,
        "inception_score_not_available": None if len(names) > 1 else NO_LOGITS,
        "settings": asdict(wanted),
    }
    write_array(job.folder / "grid.npy", np.stack(shown))
    write_json(job.folder / "metrics.json", metrics)


def _pool(job: Job, sampler: str, rejector: Classifier, judge: Classifier) -> Pool:
    """The samples of one sampling job. Raises TwostageError if their classes are not those of both classifiers, all in
    turn.
    """
    drawn, images = metrics_of(job, sampler), read_array(job.upstream(sampler) / "samples.npy")
    if drawn["classes"] != []:
        raise TwostageError(f"{job.inputs[sampler]} was not drawn from all classes in turn; set sampling.classes=[]")
    for name, known in (("rejector", rejector), ("judge", judge)):
        if drawn["class_names"] != known.classes:
            raise TwostageError(
                f"{job.inputs[sampler]} was drawn from other classes than {job.inputs[name]} knows, or in another "
                "order; take a classifier of the prior's dataset"
            )
    label_P = np.arange(len(images)) // drawn["per_condition"] % len(rejector.classes)
    return Pool([images], label_P, rejector.probabilities(images)[np.arange(len(images)), label_P])


def _chosen(config: RejectionConfig, setting: Setting, pool: Pool) -> np.ndarray:
    place_A = accept(pool.probability_P, pool.label_P, setting.acceptance)
    if len(place_A) < config.accepted:
        raise TwostageError(
            f"setting {setting.label}: {len(place_A)} of {len(pool.label_P)} samples are accepted, fewer than the "
            f"{config.accepted} to be compared; raise the pool or lower accepted in scale.study.rejection"
        )
    return _evenly(place_A, pool.label_P, config)


def _evenly(place_A: np.ndarray, label_P: np.ndarray, config: RejectionConfig) -> np.ndarray:
    """Equally many places of every class: what a class is worth to FID must not differ between settings."""
    labels, random = np.unique(label_P), np.random.default_rng(config.seed)
    each, rest = divmod(config.accepted, len(labels))
    if rest:
        raise TwostageError(
            f"scale.study.rejection.accepted={config.accepted} is no multiple of the {len(labels)} classes; set "
            f"{max(1, each) * len(labels)}"
        )
    chosen = [random.choice(place_A[label_P[place_A] == label], each, replace=False) for label in labels]
    # Mixed, as the first of them are shown.
    return random.permutation(np.concatenate(chosen))


def accept(probability_P: np.ndarray, label_P: np.ndarray, acceptance: float) -> np.ndarray:
    """Places of the share `acceptance` of each class's samples that the classifier finds the likeliest, int64.

    At least one of every class. Raises TwostageError for a share that is not in (0, 1].
    """
    if not 0 < acceptance <= 1:
        raise TwostageError(
            f"the acceptance rate is {acceptance}; expected a share above 0, at most 1; set it in conf/study/"
        )
    kept = []
    for label in np.unique(label_P):
        place = np.flatnonzero(label_P == label)
        best_first = place[np.argsort(-probability_P[place], kind="stable")]
        kept.append(best_first[: max(1, round(acceptance * len(place)))])
    return np.concatenate(kept)


def _row(setting: Setting, pool: Pool) -> Metrics:
    facts = {key: getattr(setting, key) for key in ("top_k", "top_p", "acceptance")}
    return facts | {"pool": len(pool.label_P), "classes": len(np.unique(pool.label_P))}


def _has_classifier(job: Job) -> bool:
    return bool(fused_inception.provenance(job.upstream("inception"))["classifier"])


def _inception_score(config: SamplesConfig, logits_AK: torch.Tensor | None) -> Metrics:
    names = ("inception_score_mean", "inception_score_std_over_splits")
    if logits_AK is None:
        return dict.fromkeys(names)
    return dict(zip(names, inception_score(logits_AK, config.inception_score_splits, config.seed), strict=True))
