"""Config trees out of `conf/`: each file is parsed once, and each group's section resolved once.

The trees equal, to the order of keys, what Hydra composes of the same overrides: a test compares all that plans ask
for. Hydra takes 0.17 s for a tree, and a plan needs ninety.
"""

import copy
import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf._utils import get_yaml_loader

from twostage.config.errors import UNREADABLE, first_line, place
from twostage.config.values import check, hint_of
from twostage.errors import TwostageError

# The one group that no verb reads: composed only where it is asked for, so that a broken study stops itself alone.
ON_REQUEST = "experiment"
# An interpolation whose section its text names: of its own section, or of another one.
_OWN, _OTHER = re.compile(r"\$\{\.[^.${}][^${}]*\}"), re.compile(r"\$\{(\w+)\.[^${}]*\}")


class Change(NamedTuple):
    """One override: a group's option, or a dotted key's value."""

    key: str
    value: str  # JSON
    text: str  # as typed, for error messages
    may_add: bool = False  # a key that is not there yet


def planned(override: str) -> Change:
    """The override of a plan: `group=option`, or `key=value` with a value in JSON."""
    key, _, value = override.partition("=")
    return Change(key, value if "." in key else json.dumps(value), override)


class Trees:
    """Composes config trees from the files of a folder `conf`, as they are when first read, typed by a dataclass.

    `schema` has one field for every group. Files of the folders `added` are further options, GROUP/NAME.yaml; one that
    has the name of another option is an error. Called with a plan's overrides, returns plain dicts that are the
    caller's.
    """

    def __init__(self, conf: Path, schema: type, added: tuple[Path, ...] = ()) -> None:
        if not conf.is_dir():
            raise TwostageError(f"no folder {conf}/ in {Path.cwd().name}/; run from the root of the twostage clone")
        self._conf, self._schema, self._added = conf, schema, added
        self._groups = [field.name for field in dataclasses.fields(schema)]
        self._root = self._parsed("config.yaml")
        self._defaults = self._default_options()
        self._nodes: dict[tuple[str, str], DictConfig] = {}
        self._options: dict[str, list[str]] = {}
        self._read: dict[tuple[str, str], list[str] | None] = {}
        self._sections: dict[tuple[Any, ...], str] = {}
        for group in self._groups if added else ():
            self._refuse_twins(group)

    def __call__(self, overrides: Iterable[str]) -> dict[str, Any]:
        """The tree under a plan's overrides. Raises TwostageError, one line."""
        return self.tree([planned(override) for override in overrides])

    def tree(self, changes: Iterable[Change]) -> dict[str, Any]:
        """The resolved tree under some changes, later ones over earlier ones.

        The experiment is None if no change chooses one. Raises TwostageError, one line, for an unknown group, option
        or key, and for a value of the wrong type or out of its range.
        """
        chosen = {group: option for group, option in self._defaults.items() if group != ON_REQUEST}
        changed: dict[str, tuple[Change, ...]] = {}
        for change in changes:
            group = change.key.partition(".")[0]
            if group not in self._defaults:
                raise TwostageError(f"{change.text}: no group {group}; name one of {', '.join(self._defaults)}")
            if change.key == group:
                chosen[group] = self._option(change)
            else:
                chosen.setdefault(group, self._defaults[group])
                changed[group] = (*changed.get(group, ()), change)
        return {group: self._section(group, chosen, changed) if group in chosen else None for group in self._groups}

    def options(self, group: str) -> list[str]:
        """The files of a group, by their names."""
        if group not in self._options:
            found = (path.stem for folder in self._folders for path in (folder / group).glob("[!.]*.yaml"))
            self._options[group] = sorted(found)
        return self._options[group]

    def default(self, group: str) -> str:
        """The option of a group where none is chosen."""
        return self._defaults[group]

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (self._conf, *self._added)

    def _refuse_twins(self, group: str) -> None:
        """Raises TwostageError if two files of a group have one name."""
        names = self.options(group)
        if twice := [name for name in names if names.count(name) > 1]:
            path = f"{group}/{twice[0]}.yaml"
            lie = " and ".join(str(folder / path) for folder in self._folders if (folder / path).exists())
            raise TwostageError(f"{lie} have one name; give yours another")

    def _option(self, change: Change) -> str:
        option = json.loads(change.value)
        if not isinstance(option, str) or option not in self.options(change.key):
            known = ", ".join(self.options(change.key))
            raise TwostageError(f"{change.text}: no file conf/{change.key}/{option}.yaml; choose one of {known}")
        return option

    def _section(self, group: str, chosen: Mapping[str, str], changed: Mapping[str, tuple[Change, ...]]) -> Any:
        needed = self._needed(group, chosen, changed)
        key = (group, *((name, chosen[name], changed.get(name, ())) for name in needed))
        if key not in self._sections:
            self._sections[key] = self._resolved(group, needed, chosen, changed)
        # Of its own for every caller, who may change it.
        return json.loads(self._sections[key])

    def _needed(
        self, group: str, chosen: Mapping[str, str], changed: Mapping[str, tuple[Change, ...]]
    ) -> tuple[str, ...]:
        """The groups whose values the section reads, itself among them."""
        found: dict[str, None] = {}
        waiting = [group]
        while waiting:
            name = waiting.pop()
            if name in found or name not in chosen:
                continue
            found[name] = None
            self._node(name, chosen[name])
            for read in (self._read[name, chosen[name]], *(_groups_read(c.value) for c in changed.get(name, ()))):
                waiting += chosen if read is None else read
        return tuple(found)

    def _resolved(
        self,
        group: str,
        needed: tuple[str, ...],
        chosen: Mapping[str, str],
        changed: Mapping[str, tuple[Change, ...]],
    ) -> str:
        """The section as JSON, its interpolations resolved and its values checked."""
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
            text = json.dumps(values)
        except (*UNREADABLE, ValueError, TypeError, RecursionError) as error:
            raise TwostageError(f"{said}: {place(error, group)}") from error
        check(self._kind(group), json.loads(text), group, said)
        return text

    def _kind(self, group: str) -> Any:
        return hint_of(self._schema, group)

    def _apply(self, change: Change, root: DictConfig) -> None:
        above = change.key.rpartition(".")[0]
        try:
            if not OmegaConf.is_config(OmegaConf.select(root, above)):
                raise TwostageError(f"{change.text}: {above} has no keys here; choose another option of its group")
            OmegaConf.update(root, change.key, json.loads(change.value), merge=True, force_add=change.may_add)
        except (*UNREADABLE, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise TwostageError(f"{change.text}: {first_line(error)}") from error

    def _node(self, group: str, option: str) -> DictConfig:
        """The group's section under an option: typed, with interpolations that are not resolved yet."""
        if (group, option) not in self._nodes:
            files = self._files(group, option, ())
            files += [(Path("config.yaml"), self._root[group])] if self._root.get(group) else []
            kind = self._kind(group)
            # Below its group's name, as sections refer to themselves by it.
            root: Any = OmegaConf.create({group: kind if dataclasses.is_dataclass(kind) else {}})
            for path, values in files:
                try:
                    root = OmegaConf.unsafe_merge(root, {group: values})
                except (*UNREADABLE, ValueError, TypeError, RecursionError) as error:
                    raise TwostageError(f"{self._said(path.as_posix())}: {place(error, group)}") from error
            self._nodes[group, option] = root[group]
            self._read[group, option] = _groups_read(json.dumps([values for _, values in files], default=str))
        return self._nodes[group, option]

    def _files(self, group: str, option: str, above: tuple[str, ...]) -> list[tuple[Path, dict[str, Any]]]:
        """The file of an option and, as its `defaults` say, those that it builds on: later ones over earlier ones."""
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
        """How messages name a file: those of the repository by conf/, wherever they lie."""
        return f"conf/{name}" if self._place(name).is_relative_to(self._conf) else str(self._place(name))

    def _place(self, name: str) -> Path:
        places = (folder / name for folder in self._folders)
        return next((path for path in places if path.exists()), self._conf / name)

    def _parsed(self, name: str) -> dict[str, Any]:
        said = self._said(name)
        try:
            text = self._place(name).read_text(encoding="utf-8")
            values = yaml.load(text, _loader())
        except (yaml.YAMLError, ValueError, OSError) as error:
            raise TwostageError(f"{said}: {place(error)}") from error
        if not isinstance(values, dict | None):
            raise TwostageError(f"{said} holds no keys with values")
        if re.search(r"^#\s*@package", text, re.MULTILINE):
            raise TwostageError(f"{said}: the header @package is not read; drop it")
        return values or {}


@functools.cache
def _groups_read(text: str) -> list[str] | None:
    """The groups that interpolations in the JSON text of a section name; None if they may read any."""
    others = _OTHER.findall(text)
    return others if len(_OWN.findall(text)) + len(others) == text.count("${") else None


@functools.cache
def _loader() -> type[yaml.CSafeLoader]:
    """OmegaConf's own reading of YAML, such as 1e-4 as a number, by PyYAML's parser in C: a tenth of the time."""

    class Loader(yaml.CSafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]} stands twice", node.start_mark)
            return super().construct_mapping(node, deep=deep)

    Loader.yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers
    return Loader
