"""Composes config trees from `conf/`. Parses each file once and resolves the section of each group once.

The trees equal what Hydra composes from the same overrides, including the order of keys. A test compares all trees of
the plans. Hydra takes 0.17 s per tree, and a plan needs ninety trees.
"""

import copy
import dataclasses
import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import omegaconf.base
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.grammar_parser import parse

from twostage.config.errors import UNREADABLE, first_line, place
from twostage.config.values import check, check_paths, hint_of, without_unused
from twostage.config.yaml_files import parsed_yaml, read_text
from twostage.errors import TwostageError

# OmegaConf (below 2.4: pyproject.toml) parses an interpolation anew each time that it resolves one, and a plan resolves
# few different ones. Its parse trees are only read.
omegaconf.base.parse = functools.cache(parse)

# No verb reads this group. It is composed only on request, so that a broken study stops only itself.
ON_REQUEST = "study"
# An interpolation that names its section: by levels above its own place, a dot for each, or by the section's name.
_ABOVE, _OTHER = re.compile(r"\$\{(\.+)[^.${}][^${}]*\}"), re.compile(r"\$\{(\w+)\.[^${}]*\}")


class Change(NamedTuple):
    """One override: the option of a group, or the value of a dotted key."""

    key: str
    value: str  # JSON
    text: str  # as typed, for error messages
    may_add: bool = False  # the key may be new


def planned(override: str) -> Change:
    """An override of a plan: `group=option`, or `key=value` with the value in JSON."""
    key, _, value = override.partition("=")
    return Change(key, value if "." in key else json.dumps(value), override)


class Trees:
    """Composes config trees from the files of the folder `conf`, typed by a dataclass. Reads each file once.

    `schema` has one field per group. The files GROUP/NAME.yaml of the folders `added` are more options; a file with
    the name of an existing option is an error. `studies`: files of the group study that lie anywhere, by their names.
    A call with a plan's overrides returns plain dicts, which the caller may change.
    """

    def __init__(
        self, conf: Path, schema: type, added: tuple[Path, ...] = (), studies: Mapping[str, Path] | None = None
    ) -> None:
        if not conf.is_dir():
            raise TwostageError(f"no folder {conf}/ in {Path.cwd().name}/; run from the root of the twostage clone")
        self._conf, self._schema, self._added = conf, schema, added
        self._files_anywhere = {f"{ON_REQUEST}/{name}.yaml": path for name, path in (studies or {}).items()}
        self._groups = [field.name for field in dataclasses.fields(schema)]
        self._root = self._parsed("config.yaml")
        self._defaults = self._default_options()
        self._nodes: dict[tuple[str, str], DictConfig] = {}
        self._options: dict[str, list[str]] = {}
        self._texts: dict[tuple[str, str], str] = {}
        self._sections: dict[tuple[Any, ...], str] = {}
        for group in self._groups if added else ():
            self._refuse_twins(group)

    def __call__(self, overrides: Iterable[str]) -> dict[str, Any]:
        """The tree under a plan's overrides. Raises TwostageError, one line."""
        return self.tree([planned(override) for override in overrides])

    def tree(self, changes: Iterable[Change]) -> dict[str, Any]:
        """The resolved tree under some changes. Later changes override earlier ones.

        The study is None if no change chooses one. Raises TwostageError, one line, for an unknown group, option
        or key, and for a value of the wrong type or out of range.
        """
        chosen = {group: option for group, option in self._defaults.items() if group != ON_REQUEST}
        changed: dict[str, tuple[Change, ...]] = {}
        for change in changes:
            group = change.key.partition(".")[0]
            if group not in self._defaults:
                raise TwostageError(f"{change.text}: no group {group}; choose one of {', '.join(self._defaults)}")
            if change.key == group:
                chosen[group] = self._option(change)
            else:
                chosen.setdefault(group, self._defaults[group])
                changed[group] = (*changed.get(group, ()), change)
        return {group: self._section(group, chosen, changed) if group in chosen else None for group in self._groups}

    def options(self, group: str) -> list[str]:
        """The names of a group's options."""
        if group not in self._options:
            found = [path for folder in self._folders for path in (folder / group).glob("[!._]*.yaml")]
            found += [path for name, path in self._files_anywhere.items() if name.startswith(f"{group}/")]
            self._options[group] = sorted(path.stem for path in found)
        return self._options[group]

    def default(self, group: str) -> str:
        """The option of a group that is used if none is chosen."""
        return self._defaults[group]

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (self._conf, *self._added)

    def _refuse_twins(self, group: str) -> None:
        """Raises TwostageError if two files of a group have the same name."""
        names = self.options(group)
        if twice := [name for name in names if names.count(name) > 1]:
            path = f"{group}/{twice[0]}.yaml"
            lie = " and ".join(str(folder / path) for folder in self._folders if (folder / path).exists())
            raise TwostageError(f"{lie} have the same name; rename yours")

    def _option(self, change: Change) -> str:
        option = json.loads(change.value)
        if not isinstance(option, str) or option not in self.options(change.key):
            known = ", ".join(self.options(change.key))
            raise TwostageError(f"{change.text}: no file conf/{change.key}/{option}.yaml; choose one of {known}")
        return option

    def _section(self, group: str, chosen: Mapping[str, str], changed: Mapping[str, tuple[Change, ...]]) -> Any:
        needed = self._needed(group, chosen, changed)
        key: tuple[Any, ...] = (group, *((name, chosen[name], changed.get(name, ())) for name in needed))
        texts = [self._texts[name, chosen[name]] for name in needed]
        texts += [change.value for name in needed for change in changed.get(name, ())]
        # The resolver of environment variables.
        if any("oc.env" in text for text in texts):
            key = (*key, frozenset(os.environ.items()))
        if key not in self._sections:
            self._sections[key] = self._resolved(group, needed, chosen, changed)
        # Each caller gets a copy, which it may change.
        return json.loads(self._sections[key])

    def _needed(
        self, group: str, chosen: Mapping[str, str], changed: Mapping[str, tuple[Change, ...]]
    ) -> tuple[str, ...]:
        """The groups whose values the section reads, including its own."""
        found: dict[str, None] = {}
        waiting = [group]
        while waiting:
            name = waiting.pop()
            if name in found or name not in chosen:
                continue
            found[name] = None
            self._node(name, chosen[name])
            # Of an option, a list of files, each of which has the group's own level.
            reads = [_groups_read(self._texts[name, chosen[name]], -1)]
            reads += [_groups_read(change.value, change.key.count(".")) for change in changed.get(name, ())]
            for read in reads:
                waiting += chosen if read is None else sorted(read)
        return tuple(found)

    def _resolved(
        self,
        group: str,
        needed: tuple[str, ...],
        chosen: Mapping[str, str],
        changed: Mapping[str, tuple[Change, ...]],
    ) -> str:
        """The section as JSON, with interpolations resolved and values checked."""
        root = OmegaConf.create()
        with flag_override(root, "no_deepcopy_set_nodes", True):
            for name in needed:
                node = self._node(name, chosen[name])
                root[name] = copy.deepcopy(node) if name in changed else node
        OmegaConf.set_struct(root, True)
        for change in (change for name in needed for change in changed.get(name, ())):
            self._apply(change, root)
        typed = " ".join(change.text for change in changed.get(group, ()))
        said = typed or self._said(f"{group}/{chosen[group]}.yaml")
        try:
            values = OmegaConf.to_container(root[group], resolve=True)
            text = json.dumps(without_unused(self._kind(group), values))
        except (*UNREADABLE, ValueError, TypeError, RecursionError) as error:
            raise TwostageError(f"{said}: {place(error, group)}") from error
        check(self._kind(group), json.loads(text), group, said)
        check_paths(self._kind(group), json.loads(text), group, said)
        return text

    def _kind(self, group: str) -> Any:
        return hint_of(self._schema, group)

    def _apply(self, change: Change, root: DictConfig) -> None:
        above = change.key.rpartition(".")[0]
        try:
            if not OmegaConf.is_config(OmegaConf.select(root, above)):
                raise TwostageError(
                    f"{change.text}: {above} has no keys in this option; choose another option of its group"
                )
            # What a plugin's prior calls its sizes is in no schema.
            is_open = dict[str, Any] in (hint_of(self._schema, change.key), hint_of(self._schema, above))
            may_add = change.may_add or is_open
            OmegaConf.update(root, change.key, json.loads(change.value), merge=True, force_add=may_add)
        except (*UNREADABLE, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise TwostageError(f"{change.text}: {first_line(error)}") from error

    def _node(self, group: str, option: str) -> DictConfig:
        """The section of a group under an option: typed, with interpolations not yet resolved."""
        if (group, option) not in self._nodes:
            files = self._files(group, option, ())
            files += [(Path("config.yaml"), self._root[group])] if self._root.get(group) else []
            kind = self._kind(group)
            # Placed below the group's name, because sections use it to refer to themselves.
            root: Any = OmegaConf.create({group: kind if dataclasses.is_dataclass(kind) else {}})
            for path, values in files:
                try:
                    root = OmegaConf.unsafe_merge(root, {group: values})
                except (*UNREADABLE, ValueError, TypeError, RecursionError) as error:
                    raise TwostageError(f"{self._said(path.as_posix())}: {place(error, group)}") from error
            self._nodes[group, option] = root[group]
            self._texts[group, option] = json.dumps([values for _, values in files], default=str)
        return self._nodes[group, option]

    def _files(self, group: str, option: str, above: tuple[str, ...]) -> list[tuple[Path, dict[str, Any]]]:
        """The file of an option merged with those in its `defaults`. Later files override earlier ones."""
        path = Path(group) / f"{option}.yaml"
        said = self._said(path.as_posix())
        if option in above:
            raise TwostageError(f"{said} builds on itself")
        values = self._parsed(path.as_posix())
        own = {key: value for key, value in values.items() if key != "defaults"}
        defaults = values.get("defaults", ["_self_"])
        if not isinstance(defaults, list) or "_self_" not in defaults or not all(isinstance(n, str) for n in defaults):
            raise TwostageError(f"{said}: defaults must be files of conf/{group}/ and _self_")
        found: list[tuple[Path, dict[str, Any]]] = []
        for name in defaults:
            found += [(path, own)] if name == "_self_" else self._files(group, name, (*above, option))
        return found

    def _default_options(self) -> dict[str, str]:
        listed = self._root.get("defaults", [])
        pairs = [entry for entry in listed if isinstance(entry, dict)]
        options = {str(group): str(option) for entry in pairs for group, option in entry.items()}
        if set(options) != set(self._groups):
            raise TwostageError(f"conf/config.yaml: defaults must name each of {', '.join(self._groups)} once")
        return options

    def _said(self, name: str) -> str:
        """The name of a file in error messages. Files of the repository begin with conf/, wherever they lie."""
        return f"conf/{name}" if self._place(name).is_relative_to(self._conf) else str(self._place(name))

    def _place(self, name: str) -> Path:
        if name in self._files_anywhere:
            return self._files_anywhere[name]
        places = (folder / name for folder in self._folders)
        return next((path for path in places if path.exists()), self._conf / name)

    def _parsed(self, name: str) -> dict[str, Any]:
        said = self._said(name)
        text = read_text(self._place(name), said)
        values = parsed_yaml(text, said)
        if not isinstance(values, dict | None):
            raise TwostageError(f"{said} has no keys; write lines KEY: VALUE")
        if re.search(r"^#\s*@package", text, re.MULTILINE):
            raise TwostageError(f"{said}: the header @package is not supported; remove it")
        return values or {}


@functools.cache
def _groups_read(text: str, level: int) -> frozenset[str] | None:
    """The other groups that interpolations name in the JSON text of a part of a section; None if they may read any.

    `level`: how far below the section the part lies; a value of the section itself is on level 1.
    """
    return _read_by(json.loads(text), level)


def _read_by(value: Any, level: int) -> frozenset[str] | None:
    if isinstance(value, dict | list):
        parts = [_read_by(each, level + 1) for each in (value.values() if isinstance(value, dict) else value)]
        known = [part for part in parts if part is not None]
        return frozenset().union(*known) if len(known) == len(parts) else None
    if not isinstance(value, str):
        return frozenset()
    above, others = _ABOVE.findall(value), _OTHER.findall(value)
    is_known = len(above) + len(others) == value.count("${") and all(len(dots) <= level for dots in above)
    return frozenset(others) if is_known else None
