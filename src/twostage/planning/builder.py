"""Builds a plan: the jobs that a study asks for at one scale, each once. Pure: composes configs, writes nothing.

Rows of a study share every job they can: jobs are keyed by their folder, and two different jobs for one folder
are an error.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from twostage.config import composition
from twostage.errors import TwostageError
from twostage.planning.cells import Cell
from twostage.planning.jobs import (
    BACKBONE_OF,
    data_job,
    features_job,
    latents_job,
    maps_job,
    plain_job,
    real_features_job,
    reconstruct_job,
    rfid_job,
    samples_evaluation_job,
    tokenizer_job,
    tune_job,
    weights_job,
)
from twostage.runtime.job import Job, Tree

C = TypeVar("C")


class Builder:
    """The jobs of one study at one scale, in an order in which they can run. `jobs` is keyed by their folders."""

    def __init__(self, study: str, scale: str, compose: Callable[[tuple[str, ...]], Tree] | None = None) -> None:
        self.scale = scale
        self.jobs: dict[str, Job] = {}
        # Whether nothing but its own target asks for it.
        self.on_request = False
        # Studies that a whole plan lacks -> why each could not be planned, in one line.
        self.broken: dict[str, str] = {}
        self._compose = compose or composition.trees()
        self.tree = self._compose((f"scale={scale}", f"study={study}"))
        self.study = self.tree["study"]
        _require_name(self.study, study)
        self._tunes: dict[tuple[str, str], Job] = {}

    def add(self, job: Job) -> Job:
        """The job, which is part of the plan now. Raises TwostageError if another one has its folder."""
        known = self.jobs.setdefault(job.out, job)
        if known != job:
            raise TwostageError(f"two different jobs want {job.out}; give one of their variants another name")
        return known

    def add_with_upstream(self, job: Job, *upstream: Job) -> Job:
        """Adds what the job reads, and the job."""
        for other in upstream:
            self.add(other)
        return self.add(job)

    def rfid(self, tree: Tree, tokenizer: Job) -> Job:
        """Adds the FID and KID of a tokenizer's reconstructions."""
        data = data_job(tree)
        features = features_job(tree, data)
        self.add_with_upstream(features, weights_job(tree, "inception"))
        return self.add(rfid_job(tree, tokenizer, data, features))

    def rows(self, kind: type[C]) -> dict[str, C]:
        """The rows of the study in the column of the scale, but for those that have none there (null), and for those
        that `only` of the study does not name, if it names any.

        Raises TwostageError, naming the row, for a key that the dataclass `kind` lacks, for one that is missing, and
        for a row of `only` that there is not.
        """
        column, name = self.tree["scale"]["sources"], self.study["name"]
        rows = self.study["rows"]
        only = self.study.get("only") or rows
        if unknown := [label for label in only if label not in rows]:
            raise TwostageError(f"study.only of {name} names {unknown[0]}; its rows are {', '.join(rows)}")
        found: dict[str, C] = {}
        for label, row in rows.items():
            if label not in only:
                continue
            try:
                if row[column] is not None:
                    found[label] = composition.parse(kind, row[column])
            except (KeyError, TwostageError) as error:
                raise TwostageError(f"study.rows.{label}.{column} of {name}: {error}") from error
        return found

    def of_paper(self) -> Tree:
        """What the study's file says of the paper, for drawings alone: nothing that computes reads it."""
        return {key: self.study[key] for key in ("paper", "paper_says", "paper_rows") if key in self.study}

    def only_row(self, kind: type[C]) -> tuple[str, C]:
        """The one row of the study, with its label. Raises TwostageError as `rows`, and if there are several."""
        if len(self.study["rows"]) != 1:
            labels = ", ".join(self.study["rows"])
            raise TwostageError(f"study.rows of {self.study['name']} must be one, got {labels}")
        (found,) = self.rows(kind).items()
        return found

    def tuned(self, label: str, cell: Cell, architecture: str, latents: Job, condition: Job | None) -> Job:
        """Adds the sweep of learning rates of a row's prior, or finds that of the row which it names by `tune_on`."""
        if cell.tune_on is not None:
            if (cell.tune_on, architecture) not in self._tunes:
                raise TwostageError(f"row {label} says tune_on={cell.tune_on}, which has no sweep of its own")
            return self._tunes[cell.tune_on, architecture]
        job = tune_job(self.tree_of(cell, priors=architecture), latents, condition)
        self._tunes[label, architecture] = self.add(job)
        return job

    def condition(self, cell: Cell) -> Job | None:
        """Adds everything up to the codes of what conditions the cell's prior; None if nothing does."""
        match cell.condition:
            case None:
                return None
            case "class" | "coordinates" as kind:
                tree = self.tree_of(cell, tokenizers=cell.tokenizer)
                return self.add_with_upstream(plain_job(tree, kind), data_job(tree))
            case tokenizer:
                return self.encoded(cell, tokenizer, cell.data)

    def maps(self, tree: Tree, name: str) -> Job:
        """Adds the dataset and, if it has no map `name`, what makes that."""
        return self.add_with_upstream(maps_job(tree, name), data_job(tree))

    def encoded(self, cell: Cell, tokenizer_name: str, tokenizer_data: str) -> Job:
        """Adds everything up to the latents of one map of the cell's dataset."""
        of_tokenizer = self.tree_of(replace(cell, data=tokenizer_data), tokenizers=tokenizer_name)
        return self.encoded_by(self.tree_of(cell), of_tokenizer)

    def encoded_by(self, tree: Tree, of_tokenizer: Tree) -> Job:
        """Adds everything up to the latents of `tree`, whose tokenizer is trained as the other tree says."""
        tokenizer = self.trained(of_tokenizer)
        self.maps(tree, tokenizer.config["map"])
        return self.add(latents_job(tree, tokenizer))

    def trained(self, tree: Tree) -> Job:
        """Adds the training of a tokenizer, after that which it starts from, and, of images, how it reconstructs."""
        name = tree["tokenizers"].get("starts_from")
        start = self.trained(tree | {"tokenizers": self.composed({"tokenizers": name})["tokenizers"]}) if name else None
        tokenizer = tokenizer_job(tree, start)
        for name in BACKBONE_OF.values():
            if name in tokenizer.inputs:
                self.add(weights_job(tree, name))
        self.maps(tree, tokenizer.config["map"])
        self.add(tokenizer)
        if tokenizer.config["map"] == "image":
            evaluation = reconstruct_job(tree, tokenizer, data_job(tree))
            self.add_with_upstream(evaluation, weights_job(tree, "vgg16"))
        return tokenizer

    def measured(self, tree: Tree, sampling: Job, num_images: int) -> Job:
        """Adds FID, KID, precision and recall of a job's first samples against the data's real images."""
        settings = tree["evaluation"]["samples"]
        # Subsets of all samples would be one subset.
        subset = min(num_images // 2, settings["kid_subset_size"])
        samples = settings | {"images": num_images, "kid_subset_size": subset}
        asked = tree | {"evaluation": tree["evaluation"] | {"samples": samples}}
        features = self.add_with_upstream(real_features_job(asked, data_job(asked)), weights_job(asked, "inception"))
        # What is measured of some of a job's samples is another number than what is measured of all.
        label = "" if num_images == sampling.config["num_images"] else f"first{num_images}"
        return self.add(samples_evaluation_job(asked, sampling, features, label))

    def composed(self, asked: Mapping[str, Any]) -> Tree:
        """The config tree under overrides: groups by the names of their files, dotted keys by their values."""
        overrides = [
            f"{key}={value}" if "." not in key else f"{key}={json.dumps(value)}" for key, value in asked.items()
        ]
        return self._compose((f"scale={self.scale}", *overrides))

    def tree_of(
        self,
        cell: Cell,
        tokenizers: str | None = None,
        priors: str | None = None,
        seed: int = 0,
        more: Mapping[str, Any] | None = None,
    ) -> Tree:
        """The config tree of a cell: its data, and the tokenizer and prior that are named; `more`: keys and values."""
        overrides = [f"scale={self.scale}", f"data={cell.data}"]
        if tokenizers:
            overrides.append(f"tokenizers={tokenizers}")
        if priors:
            sizes = cell.prior_sizes.get(priors, {})
            overrides += [f"scale.priors.{priors}.{key}={value}" for key, value in sizes.items()]
            overrides += [f"priors={priors}", f"priors.loop.seed={seed}"]
            overrides += [f"priors.condition={json.dumps(cell.condition)}"] if cell.condition else []
        overrides += [f"{key}={json.dumps(value)}" for key, value in (more or {}).items()]
        return self._compose(tuple(overrides))


def _require_name(study: Any, name: str) -> None:
    """Jobs and results have the name of the file: of a copy, they would be those of the original."""
    said = study.get("name") if isinstance(study, dict) else None
    if said != name:
        file = composition.study_file(name)
        raise TwostageError(f'{file} says name: {said}; say name: "{name}", as its file is')
