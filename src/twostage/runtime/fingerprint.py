"""Hashes of the code that a job runs: a changed loss reruns the jobs that use it, a changed comment reruns nothing.

Snakemake does not follow imports. A fingerprint starts at the verb's function and follows everything it uses, symbol
by symbol. In a match statement over a config key, and in a dict indexed by one, only the entries that the job's config
chooses count: a GPT job does not count the code of SUNDAE.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twostage.errors import TwostageError
from twostage.runtime import symbols
from twostage.runtime.artifacts import sha256_json, write_json
from twostage.runtime.symbols import PACKAGE_NAME, Case, Choice, Part, Table, Use, table_from_json, table_of

PACKAGE = Path(__file__).parents[1]
# Cached tables of modules, by content: parsing all of them takes a second.
KEPT = Path("build/symbols.json")

# These modules only build the job's resolved config, which is an input of the job anyway; they compute no result.
NOT_COUNTED = re.compile(rf"{PACKAGE_NAME}\.(planning|errors|runtime\.(job|fingerprint|symbols))(\..*)?")
# Its classes only type the config, so they do not count. Its constants and functions do.
SCHEMA = f"{PACKAGE_NAME}.config.schema"

# Config key -> its values in the config of a job and of the jobs that it reads.
Choices = Mapping[str, Sequence[str | None]]


def fingerprint(verb: str, choices: Choices | None = None, plugins: Sequence[str] = ()) -> dict[str, str]:
    """Symbol ("priors.gpt:GPT") -> hash, for everything that the verb ("priors.train") runs under a job's choices.

    Without choices, for everything that any job of the verb may run. `plugins`: paths of files whose content counts,
    and what they use of the package. Raises FileNotFoundError for an unknown verb.
    """
    found = _fingerprint(verb, _hashable(choices or {}))
    sources = {Path(path).name: Path(path).read_bytes() for path in plugins}
    return found | (_installed().of_plugins(sources, choices or {}) if sources else {})


def code_sha256(verb: str, choices: Choices | None = None, plugins: Sequence[str] = ()) -> str:
    """One checksum of the fingerprint."""
    if plugins:
        return sha256_json(fingerprint(verb, choices, plugins))
    return _code_sha256(verb, _hashable(choices or {}))


def _hashable(choices: Choices) -> tuple[tuple[str, tuple[str | None, ...]], ...]:
    return tuple(sorted((key, tuple(values)) for key, values in choices.items()))


@functools.cache
def _fingerprint(verb: str, choices: tuple[tuple[str, tuple[str | None, ...]], ...]) -> dict[str, str]:
    return _installed().fingerprint(verb, dict(choices))


@functools.cache
def _code_sha256(verb: str, choices: tuple[tuple[str, tuple[str | None, ...]], ...]) -> str:
    return sha256_json(_fingerprint(verb, choices))


@functools.cache
def _installed() -> "Code":
    return Code(PACKAGE, KEPT)


class Code:
    """The code of a package at the time when this object is created.

    `kept`: a file with the tables of modules that were parsed before. It is updated.
    """

    def __init__(self, folder: Path, kept: Path | None = None) -> None:
        self._raw = _tables(folder, kept)
        self._parsed: dict[str, Table] = {}
        self._resolved: dict[str, tuple[str, str] | None] = {}
        self._loaded: dict[str, list[str]] = {}

    def fingerprint(self, verb: str, choices: Choices) -> dict[str, str]:
        """As `fingerprint` above."""
        module, name = f"{PACKAGE_NAME}.{verb}", verb.rpartition(".")[2]
        if module not in self._raw or name not in self.table(module).symbols:
            raise FileNotFoundError(f"no function {name} in a module {module}")
        walk = _Walk(self, choices)
        for loaded in self.loaded(module):
            walk.count(f"{loaded}:", self.table(loaded).effects)
        walk.reach(module, name)
        # The config of a job is parsed into the type that the function names.
        walk.reach_types(self.table(module).declared.get(name, []))
        walk.finish()
        return walk.named()

    def of_plugins(self, sources: Mapping[str, bytes], choices: Choices) -> dict[str, str]:
        """The content of the user's files, by their names, and what they use of the package."""
        walk, found = _Walk(self, choices), {}
        for name, source in sources.items():
            found[f"plugin {name}"] = hashlib.sha256(source).hexdigest()[:16]
            try:
                table = table_of("plugin", source.decode())
            except ValueError as error:
                raise TwostageError(f"plugin {name}: {error}; name what is imported") from error
            for part in itertools.chain(*table.symbols.values(), table.effects):
                walk.read(part)
        walk.finish()
        return walk.named() | found

    def table(self, module: str) -> Table:
        """The table of a module; empty for a folder without `__init__.py`."""
        if module not in self._parsed:
            raw = self._raw.get(module)
            self._parsed[module] = Table() if raw is None else table_from_json(raw)
        return self._parsed[module]

    def loaded(self, module: str) -> list[str]:
        """All modules that importing this one may load, including itself."""
        if module not in self._loaded:
            found: dict[str, None] = {}
            waiting = [module]
            while waiting:
                # Importing a.b.c runs a and a.b as well.
                for each in _with_parents(waiting.pop()):
                    if each in self._raw and each not in found and not NOT_COUNTED.fullmatch(each):
                        found[each] = None
                        waiting += self.table(each).imported
            self._loaded[module] = list(found)
        return self._loaded[module]

    def resolve(self, full: str) -> tuple[str, str] | None:
        """Module and name that a full name refers to, with re-exports followed. Name "" is the whole module.

        None for names outside the package.
        """
        if full not in self._resolved:
            self._resolved[full] = self._resolve(full)
        return self._resolved[full]

    def _resolve(self, full: str) -> tuple[str, str] | None:
        module, _, names = full.partition(":")
        if module.split(".")[0] != PACKAGE_NAME:
            return None
        rest = names.split(".") if names else []
        for at, name in enumerate(rest, start=1):
            table = self.table(module)
            if name in table.symbols:
                return module, name
            exported = table.exports.get(name)
            if exported is not None and exported != f"{module}:{name}":
                return self.resolve(".".join([exported, *rest[at:]]).replace(":.", ":"))
            if not self._is_module(f"{module}.{name}"):
                break
            module = f"{module}.{name}"
        return module, ""

    def _is_module(self, name: str) -> bool:
        return name in self._raw or any(each.startswith(f"{name}.") for each in self._raw)


@dataclass
class _Walk:
    """Collects everything that a verb's function uses, under the choices of a job."""

    code: Code
    choices: Choices
    found: dict[str, str] = field(default_factory=dict)  # "module:name" -> hash
    waiting: list[Use] = field(default_factory=list)

    def named(self) -> dict[str, str]:
        """What was found, without the name of the package."""
        return {key.removeprefix(f"{PACKAGE_NAME}."): code for key, code in sorted(self.found.items())}

    def read(self, part: Part) -> None:
        """Follows what the part uses, and does not count the part itself."""
        list(self._codes(part))

    def finish(self) -> None:
        """Follows all symbols found so far until there are no new ones."""
        seen: set[Use] = set()
        while self.waiting:
            use = self.waiting.pop()
            if use not in seen:
                seen.add(use)
                self._follow(use)

    def _follow(self, use: Use) -> None:
        symbol = self.code.resolve(use.name)
        if symbol is None:
            return
        module, name = symbol
        table = self.code.table(module)
        if use.only_asked and name in table.plain_classes:
            return
        if name in table.entries and use.chosen_by in self.choices:
            for word in self.choices[use.chosen_by]:
                if word in table.entries[name]:
                    self.count(f"{module}:{name}[{word}]", [table.entries[name][word]])
            return
        self.reach(module, name)

    def reach(self, module: str, name: str) -> None:
        """Counts a symbol, or a whole module."""
        table = self.code.table(module)
        if NOT_COUNTED.fullmatch(module) or (module == SCHEMA and name in table.plain_classes):
            return
        if name:
            self.count(f"{module}:{name}", table.symbols[name])
            # An import inside `try` may have a second statement that binds its name.
            self.waiting += [Use(table.exports[name])] if name in table.exports else []
            return
        names = [*(f"{module}:{each}" for each in table.symbols), *table.exports.values()]
        self.waiting += [Use(each) for each in names]

    def reach_types(self, names: Iterable[str]) -> None:
        """Counts the classes with these full names, and the classes of their fields."""
        for full in names:
            module, name = self.code.resolve(full) or ("", "")
            if name and f"{module}:{name}" not in self.found:
                self.reach(module, name)
                if module != SCHEMA:
                    self.reach_types(self.code.table(module).declared.get(name, []))

    def count(self, key: str, parts: Sequence[Part]) -> None:
        """Counts the parts under a key that the choices allow."""
        if parts and key not in self.found:
            codes = [code for part in parts for code in self._codes(part)]
            self.found[key] = codes[0] if len(codes) == 1 else hashlib.sha256("".join(codes).encode()).hexdigest()[:16]

    def _codes(self, part: Part) -> Iterator[str]:
        yield part.code
        self.waiting += part.uses
        for choice in part.choices:
            for case in self._possible(choice):
                yield from self._codes(case.part)

    def _possible(self, choice: Choice) -> Iterator[Case]:
        """The cases that the chosen values may match; all cases if the values are unknown."""
        if choice.key not in self.choices:
            yield from choice.cases
            return
        left = set(self.choices[choice.key])
        for case in choice.cases:
            taken = left if case.words is None else left & set(case.words)
            if taken:
                yield case
            if case.is_certain:
                left = left - taken


def _with_parents(module: str) -> list[str]:
    return [module.rsplit(".", depth)[0] if depth else module for depth in range(module.count(".") + 1)]


def _tables(folder: Path, kept: Path | None) -> dict[str, Any]:
    """Module -> its table as JSON, for all modules below the folder."""
    reader = hashlib.sha256(Path(symbols.__file__).read_bytes()).hexdigest()
    made_by = f"{reader} {sys.version_info[:2]}"
    known = _kept_tables(kept, made_by)
    tables: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.py")):
        source = path.read_bytes()
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join([PACKAGE_NAME, *(parts[:-1] if is_package else parts)])
        key = f"{module} {hashlib.sha256(source).hexdigest()}"
        tables[module] = found[key] = known.get(key) or asdict(table_of(module, source.decode(), is_package))
    if kept is not None and found.keys() != known.keys():
        # The file only saves time. If it cannot be written, the next process parses again.
        with contextlib.suppress(OSError, TwostageError):
            write_json(kept, {"made_by": made_by, "tables": found})
    return tables


def _kept_tables(kept: Path | None, made_by: str) -> dict[str, Any]:
    try:
        content = json.loads(kept.read_bytes()) if kept is not None else {}
    except (OSError, ValueError):
        return {}
    return content["tables"] if isinstance(content, dict) and content.get("made_by") == made_by else {}
