"""The planned jobs of one scale as Snakemake's rules want them: inputs, outputs, and what must run again."""

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from snakemake.io import IOFile, ancient

from twostage.errors import TwostageError
from twostage.planning import made
from twostage.planning.outside import ignore
from twostage.planning.verbs import VERBS, files_read
from twostage.planning.whole import Planned
from twostage.rules import bucket
from twostage.runtime.artifacts import sha256_json, write_json
from twostage.runtime.fingerprint import fingerprint
from twostage.runtime.job import PROVENANCE, Job

# What DVC stores; see dvc.yaml.
STAGES = ("weights", "tokenizers", "latents", "priors", "sampling", "evaluation", "figures")

# Of a failed job's log, as many as a short traceback has.
LAST_LINES = 12


class PlannedRules:
    """The plan of a scale. `workflow` is Snakemake's: its DAG and its records of what earlier runs made.

    `results`: the folder of tables and drawings.
    """

    def __init__(self, plan: Planned, results: str, workflow: Any) -> None:
        self.plan, self.results, self.workflow = plan, results, workflow
        self.artifacts = f"artifacts/{plan.scale}"
        # A job then finds only what its rule names.
        self.in_storage = bucket.is_used(workflow)
        self.drawn = [job for job in plan.jobs.values() if job.stage == "figures"]

    def kinds(self, verb: str) -> list[tuple[list[str], str]]:
        """The planned jobs of a verb that write alike: their paths, with the wildcard {variant}, and their variants as
        a pattern. What a study writes depends on its file, so two of one verb may differ.
        """
        found: dict[tuple[str, ...], list[str]] = {}
        for job in self.plan.jobs.values():
            if job.name == verb:
                files = (re.sub(f"^{re.escape(job.variant)}", "{variant}", name) for name in self._files(job))
                found.setdefault(tuple(files), []).append(re.escape(job.variant))
        # An empty pattern would constrain nothing: a verb that no study asks for matches no path.
        found = found or {tuple(VERBS[verb].files): ["(?!)"]}
        return [
            ([self.beside(verb, file) for file in (*files, PROVENANCE)], "|".join(variants))
            for files, variants in found.items()
        ]

    def _files(self, job: Job) -> list[str]:
        return [*job.files, *bucket.maps_of(job)] if self.in_storage else job.files

    def beside(self, verb: str, name: str) -> str:
        """A path in the job's own folder, with the wildcard {variant}."""
        return f"{self.artifacts}/{verb.split('.')[0]}/{{variant}}/{name}"

    def _job(self, verb: str, wildcards: Any) -> Job:
        folder = f"{self.artifacts}/{verb.split('.')[0]}/{wildcards.variant}"
        if folder not in self.plan.jobs:
            raise TwostageError(f"{folder} is in no study at scale {self.plan.scale}; known: conf/study/*.yaml")
        return self.plan.jobs[folder]

    def inputs(self, verb: str) -> Callable[[Any], dict[str, Any]]:
        """Input function of a rule: the job's resolved config, its code's fingerprint and the files of its upstream."""

        def look_up(wildcards: Any) -> dict[str, Any]:
            job = self._job(verb, wildcards)
            upstream = [self.plan.jobs[folder] for folder in job.inputs.values()]
            read = {"upstream": [f"{one.out}/{file}" for one in upstream for file in files_read(job, one)]}
            if self.in_storage:
                read["maps"] = [f"{one.out}/{file}" for one in upstream for file in bucket.maps_of(one)]
                # They tell of times and machines, so another one is no reason to make anything again.
                read["records"] = [ancient(f"{one.out}/{PROVENANCE}") for one in upstream]
                return read
            self._distrust(job)
            if job.stage == "data" and self.left_behind:
                _say_what_was_left_behind()
            return asked_of(job) | read

        return look_up

    def parameters(self, verb: str) -> dict[str, Callable[[Any], str]]:
        """Parameters of a rule whose inputs lie in a storage: the config and the code's fingerprint.

        The storage cannot keep these two, as each machine plans and so writes them by itself.
        """

        def look_up(name: str) -> Callable[[Any], str]:
            return lambda wildcards: asked_of(self._job(verb, wildcards))[name]

        return {name: look_up(name) for name in ("config", "code")} if self.in_storage else {}

    def _distrust(self, job: Job) -> None:
        """Has a job run whose folder holds what it did not make, whatever the times say: a swapped or damaged model,
        one made by hand, or one of which Snakemake has no record, as its times are those of the last checkout.
        """
        outputs = [f"{job.out}/{file}" for file in (*job.files, PROVENANCE)]
        present = [path for path in outputs if os.path.exists(path)]
        if not present:
            again = made.unfinished(job).exists()
        else:
            again = any(not self._record(path) for path in present) or made.fault(job, self.plan.jobs) is not None
        if again:
            self.workflow.dag.forcefiles.update(outputs)

    def _record(self, path: str) -> dict[str, Any]:
        """What Snakemake noted when it made the file; empty if it did not."""
        return self.workflow.persistence.metadata(IOFile(path)) or {}

    @functools.cached_property
    def left_behind(self) -> list[str]:
        """Prepared data that are missing and would come out as they were, as Snakemake's record names the config and
        the code that are asked for now: DVC does not store them.
        """
        return [
            path
            for job in self.plan.jobs.values()
            if job.stage == "data"
            for path in (f"{job.out}/{file}" for file in job.files)
            if not os.path.exists(path) and set(self._record(path).get("input", ())) >= set(asked_of(job).values())
        ]

    def evaluated(self, drawn: Job) -> list[str]:
        """Copies in `results` of the metrics that a figure is drawn from, so that git alone can redraw it."""
        if drawn.variant == "summary":
            # It reads what the figures read, and their rules copy that.
            return []
        sources = [self.plan.jobs[folder] for folder in drawn.inputs.values()]
        return [f"{self.results}/evaluation/{job.variant}/{file}" for job in sources for file in job.files]

    def tables_here(self) -> list[str]:
        """Tables in `results` that are there, of studies on request as well. A storage is not asked."""
        if self.in_storage:
            return []
        named = (f"{self.results}/{job.variant}.csv" for job in self.drawn)
        return [path for path in named if Path(path).is_file()]

    def shown(self, tables: Iterable[str]) -> list[str]:
        """Copies in `results` of all that the studies of these tables draw, and of what it is drawn from."""
        drawn = [job for job in self.drawn if f"{self.results}/{job.variant}.csv" in set(tables)]
        copies = {f"{self.results}/{place}" for job in drawn for place in places(job)}
        return sorted(copies.union(*(self.evaluated(job) for job in drawn)))

    def read_by_claims(self, tables: Iterable[str]) -> list[str]:
        """These tables. A storage fetches only what is named: the long tables, records and counts, too."""
        return [*self.shown(tables), "results/models.csv"] if self.in_storage else sorted(set(tables))

    def make_the_folders_that_dvc_stores(self) -> None:
        """All outputs of dvc.yaml's stage, so that a part of the workflow can be committed and pushed as well."""
        for folder in (*(f"{self.artifacts}/{stage}" for stage in STAGES), f"results/{self.plan.scale}"):
            Path(folder).mkdir(parents=True, exist_ok=True)

    def hide_from_git(self, studies: Iterable[str]) -> None:
        """Where git keeps results, it need not see those of studies outside of the clone."""
        drawn = [job for job in self.drawn if job.variant in set(studies)]
        if drawn and self.results == "results":
            copies = [f"evaluation/{job.variant}/" for job in drawn]
            ignore(Path(self.results), copies + [place for job in drawn for place in places(job)])

    def jobs_to_run(self) -> list[Job]:
        """The planned jobs that this run will make, once Snakemake knows them; copies into results/ are none."""
        folders = (os.path.dirname(each.log[0]) for each in self.workflow.dag.needrun_jobs() if each.log)
        return [self.plan.jobs[folder] for folder in folders if folder in self.plan.jobs]

    def jobs_at_once(self) -> int:
        """At most: one for each core, or as many as a cluster is given."""
        return int(self.workflow.cores if self.workflow.local_exec else self.workflow.nodes)

    def failures(self, logs: Iterable[str]) -> Iterator[str]:
        """For every failed job of a run that kept these logs: the end of the job's own log, and where it lies."""
        text = "".join(Path(log).read_text() for log in logs)
        found = re.findall(r"^Error in \w+ (\w+):$.*?^ +log: (\S+)", text, re.M | re.S)
        for name, path in dict.fromkeys(found):
            # Of a storage, the local copy.
            path = path[max(path.find("artifacts/"), 0) :]
            job = self.plan.jobs.get(str(Path(path).parent))
            if job is not None:
                # It may have failed before it could say that it began.
                made.unfinished(job).parent.mkdir(parents=True, exist_ok=True)
                made.unfinished(job).touch()
            yield from (f"    {line}" for line in _end_of(Path(path)))
            yield f"error: {name}{f' {job.variant}' if job else ''} failed; its log: {path}"


def _end_of(log: Path) -> list[str]:
    """The last lines of a log, or none if the job failed before it could write one."""
    return log.read_text(errors="backslashreplace").splitlines()[-LAST_LINES:] if log.is_file() else []


def places(drawn: Job) -> list[str]:
    """Paths in results/ of what a job of figures makes, drawings in a folder of their own, and of its record."""
    files = [f"figures/{file}" if file.endswith((".pdf", ".png")) else file for file in drawn.files]
    return [*files, f"{drawn.variant}.provenance.json"]


def asked_of(job: Job) -> dict[str, str]:
    """Files whose names are hashes of what they hold: the job's config, and its code."""
    code = fingerprint(job.name, job.choices, job.plugins) | made.brought(job)
    return {
        "config": _stored(f"configs/{job.stage}/{job.variant}", job.as_json()),
        "code": _stored(f"code/{job.name}", code),
    }


@functools.cache
def _say_what_was_left_behind() -> None:
    """To make data again for one job would run every other one that reads them: on their own, nothing else runs."""
    print(
        "note: prepared data are not here, as DVC does not store them; before you change anything, make them as "
        "they were: snakemake --cores all data",
        file=sys.stderr,
    )


def _stored(folder: str, value: Any) -> str:
    """Writes `value` under a name that is its content's hash, if it is not there yet."""
    path = Path("build") / folder / f"{sha256_json(value)[:12]}.json"
    if not path.exists():
        write_json(path, value)
    return str(path)
