"""Is what lies in a job's folder what the job would make? One answer, by content, for the workflow and for people.

Next to every job's files lies a record (`twostage.planning.provenance`): what was asked, by which code, of which files,
and a checksum of each. A folder without one, with another job's, or whose files have changed since, is not believed.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from twostage.errors import TwostageError
from twostage.home import home
from twostage.planning.verbs import MODEL, files_read
from twostage.runtime.artifacts import read_json, sha256_json
from twostage.runtime.checksums import checksums
from twostage.runtime.job import PROVENANCE, Job, Tree

Record = dict[str, Any]

# Files that a job's config names and the user brings, beside the folder of pictures.
BROUGHT = ("condition_file", "mask_file")


# What a training writes of its time: no two runs agree on it, and nothing but figures of time is made of it.
TIMED = frozenset({"metrics.json", "curve.csv", "rounds.csv"})


def unfinished(job: Job) -> Path:
    """A file that is there from when the job begins until it ends well. Snakemake takes outputs that a failed or killed
    job lacks for ones that nobody needs, as long as what was made of the earlier ones still lies there.
    """
    return Path("build/unfinished") / place(job)


def place(job: Job) -> Path:
    """The job's folder as a path below another one: as it lies in artifacts/, or a hash of where else it lies."""
    folder, artifacts = job.folder.resolve(), Path("artifacts").resolve()
    if folder.is_relative_to(artifacts):
        return folder.relative_to(artifacts)
    return Path("elsewhere") / sha256_json(str(folder))[:16]


def job_id(job: Job) -> str:
    """What the job is called in records: "priors.train cifar10.vqgan_f4.gpt.seed0"."""
    return f"{job.name} {job.variant}"


def asked_sha256(job: Job) -> str:
    """Checksum of what the job is asked to do. Where a folder of pictures lies does not count: its content does."""
    return sha256_json({key: value for key, value in job.config.items() if key != "root"})


def brought(job: Job) -> dict[str, str]:
    """Checksums of what the user brings to the job: pictures with their indices, a condition, a mask, a model.

    What is not at hand, as on a machine that only pulled what was made of it, is as the job's record says.
    """
    paths = {key: job.config[key] for key in BROUGHT if job.config.get(key)}
    if job.config.get("source") == "folder" and job.config["root"]:
        paths["root"] = job.config["root"]
    found = {key: _content(home(path), job.config) for key, path in paths.items()}
    found |= {name: _model(Path(folder)) for name, folder in job.inputs.items() if _is_users(folder)}
    if None in found.values():
        recorded = (read_record(job.folder) or {}).get("brought_sha256", {})
        found = {key: recorded.get(key) if value is None else value for key, value in found.items()}
    return {key: value for key, value in found.items() if value is not None}


def _content(path: Path, config: Tree) -> str | None:
    if path.is_file():
        return checksums(path.parent, [path.name])[path.name]
    if not path.is_dir():
        return None
    # An index may be hidden, or lie outside of the folder.
    indices = (str(home(config[key] or "")) for key in ("index", "validation_index"))
    return _checksum(path, {*_visible_files(path), *(index for index in indices if (path / index).is_file())})


def _is_users(folder: str) -> bool:
    """Whether the user named an input by `prior=DIR` or `tokenizer=DIR`: a whole path. The plan's are relative."""
    return Path(folder).is_absolute()


def _model(folder: Path) -> str | None:
    names = [name for name in sorted(MODEL) if (folder / name).is_file()]
    return _checksum(folder, names) if names else None


def _checksum(folder: Path, names: Iterable[str]) -> str:
    try:
        return sha256_json(sorted(checksums(folder, names).items()))
    except OSError as error:
        raise TwostageError(f"{error.filename} cannot be read: {error.strerror}; mend that, or take it away") from error


def _visible_files(folder: Path) -> Iterable[str]:
    """Paths below the folder of every file that is not hidden; links that lead nowhere are no files."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.join(root, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield os.path.relpath(path, folder)


def missing(job: Job, names: Iterable[str]) -> list[str]:
    """Those of the job's files that do not exist."""
    return [name for name in names if not (job.folder / name).is_file()]


def fault(job: Job, jobs: Mapping[str, Job]) -> str | None:
    """Why what lies in the job's folder is not what the job makes: the end of a sentence. None if nothing is wrong.

    `jobs`: by their folders, those that the job may rest on. Files that are missing are no fault, nor is a job that it
    rests on but whose folder is not at hand: metrics alone may have been pulled.
    """
    try:
        record = read_record(job.folder)
    except TwostageError as error:
        return f"has a damaged record: {error}"
    if record is None:
        return "has no record of what made it"
    if record.get("job") != job_id(job) or record.get("config_sha256") != asked_sha256(job):
        return f"was made by another job, {record.get('job')}{_difference(record, job)}"
    if record.get("code_sha256") != job.code_sha256:
        return "was made by other code"
    if record.get("brought_sha256", {}) != brought(job):
        return "was made of other pictures than those that lie there now"
    return _unnamed(job, record) or damage(job.folder, record) or _moved_on(job, record, jobs)


def _unnamed(job: Job, record: Record) -> str | None:
    """Which of the job's files lie there without a word of them in the record."""
    unnamed = [name for name in job.files if name not in record["files_sha256"] and (job.folder / name).is_file()]
    return f"has files that its record does not name: {', '.join(unnamed)}" if unnamed else None


def damage(folder: Path, record: Record) -> str | None:
    """Which files of a folder are not those of its record, as the end of a sentence."""
    changed = changed_files(folder, record)
    return f"has files that are not those of its record: {', '.join(changed)}" if changed else None


def changed_files(folder: Path, record: Record) -> list[str]:
    """Names of the files that are at hand and have another checksum than in the folder's record."""
    here = [name for name in record["files_sha256"] if (folder / name).is_file()]
    found = checksums(folder, here)
    return [name for name in here if found[name] != record["files_sha256"][name]]


def _difference(record: Record, job: Job) -> str:
    """The first key in which the configs differ, if the record tells."""
    pairs = _flat(record.get("config", {})), _flat(job.config)
    keys = sorted(pairs[0].keys() | pairs[1].keys())
    differ = [key for key in keys if key != "root" and pairs[0].get(key) != pairs[1].get(key)]
    if not record.get("config") or not differ:
        return ""
    return f" with {differ[0]}={pairs[0].get(differ[0])}, not {pairs[1].get(differ[0])}"


def _flat(tree: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {name: tree}
    return {key: leaf for at in tree for key, leaf in _flat(tree[at], f"{name}.{at}" if name else at).items()}


def _moved_on(job: Job, record: Record, jobs: Mapping[str, Job]) -> str | None:
    """Whether a file that the job reads was made again since, and differs."""
    for folder in job.inputs.values():
        upstream = jobs.get(folder)
        now = read_record(Path(folder))
        if now is None:
            continue
        made_by = now["job"] if upstream is None else job_id(upstream)
        then = record["rests_on"].get(made_by, {}).get("files_sha256", {})
        names = set(now["files_sha256"]) - TIMED if upstream is None else set(files_read(job, upstream))
        changed = [name for name in sorted(names) if then.get(name) != now["files_sha256"].get(name)]
        if changed:
            return f"rests on another {folder}/{changed[0]} than lies there now"
    return None


def is_made(job: Job, jobs: Mapping[str, Job]) -> bool:
    """Whether all files of the job are there, and are what it makes; `jobs` as in `fault`."""
    return not missing(job, (*job.files, PROVENANCE)) and fault(job, jobs) is None


def require_inputs(job: Job, jobs: Mapping[str, Job], how: Callable[[Job], str]) -> None:
    """Raises TwostageError, saying `how` to make a job, if something that this one rests on is missing, or is not what
    `jobs`, by their folders, ask for. A folder that is in none of them was named by the user: it must be whole.
    """
    for folder in job.inputs.values():
        upstream = jobs.get(folder)
        if upstream is None:
            _require_whole(Path(folder))
            continue
        absent = missing(upstream, files_read(job, upstream))
        if absent:
            where = f"{folder}/{absent[0]}, not made yet{_elsewhere(upstream)}"
            raise TwostageError(f"{job.name} needs {where}; {how(upstream)}")
    for upstream in _all_upstream(job, jobs):
        if (upstream.folder / PROVENANCE).exists() or not missing(upstream, upstream.files):
            wrong = fault(upstream, jobs)
            if wrong:
                raise TwostageError(f"{upstream.out} {wrong}; {how(upstream)}")


def _all_upstream(job: Job, jobs: Mapping[str, Job]) -> list[Job]:
    waiting, found = list(job.inputs.values()), dict[str, Job]()
    while waiting:
        folder = waiting.pop()
        if folder in jobs and folder not in found:
            found[folder] = jobs[folder]
            waiting += jobs[folder].inputs.values()
    return list(found.values())


def _require_whole(folder: Path) -> None:
    if not folder.is_dir():
        raise TwostageError(f"{folder} is not a folder; name one that a verb of twostage wrote")
    record = read_record(folder)
    wrong = None if record is None else damage(folder, record)
    if wrong:
        raise TwostageError(f"{folder} {wrong}; make it again, or bring it again")


def _elsewhere(job: Job) -> str:
    """At which other scales the job's variant lies."""
    there = sorted(path.parent.parent.name for path in Path("artifacts").glob(f"*/{job.stage}/{job.variant}"))
    return f" at scale {job.scale} (there is one at scale={there[0]})" if there else f" at scale {job.scale}"


def verify_inputs(job: Job) -> None:
    """Raises TwostageError, naming a file, if what the job reads is not what its record says: damaged, or swapped."""
    for folder in job.inputs.values():
        record = read_record(Path(folder))
        # What the user brings need not have one.
        no_record = None if _is_users(folder) else "has no record of what made it"
        wrong = no_record if record is None else damage(Path(folder), record)
        if wrong:
            raise TwostageError(f"{folder} {wrong}; delete the folder and ask for it again")


def read_record(folder: Path) -> Record | None:
    """What made the folder, None without a record. Raises TwostageError if it is damaged."""
    path = folder / PROVENANCE
    if not path.exists():
        return None
    record = read_json(path)
    kinds = {"job": str, "config": dict, "inputs": dict, "files_sha256": dict, "rests_on": dict}
    if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
        raise TwostageError(f"{path} is no record of a job; delete it and ask for the folder again")
    return record
