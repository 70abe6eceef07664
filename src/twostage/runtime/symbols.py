"""What a module defines at its top level, and what each definition uses, found in its syntax tree.

A symbol is a function, a class, a constant or an entry of a dict of words. What it uses is written as full names, the
module before the colon: `training.device()` below `from twostage.runtime import training` uses
"twostage.runtime:training.device". Docstrings, comments and annotations of functions are no code.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PACKAGE_NAME = "twostage"

# Variables, attributes and keys with these names always hold the config value of that name.
SPOKEN = frozenset({"architecture", "ordering", "quantity"})

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


class Use(NamedTuple):
    """A full name that code uses.

    `chosen_by`: the config key whose value picks one entry of the dict with this name. `only_asked`: the class is only
    used in a type check such as isinstance, which runs none of its code.
    """

    name: str
    chosen_by: str = ""
    only_asked: bool = False


@dataclass
class Part:
    """A piece of code: the hash of its syntax tree without the cases of its choices, and the choices separately."""

    code: str
    uses: list[Use] = field(default_factory=list)
    choices: list["Choice"] = field(default_factory=list)


@dataclass
class Choice:
    """A match statement over the value of a config key."""

    key: str
    cases: list["Case"]


@dataclass
class Case:
    """A case of a choice: the words that it matches, None for any. `is_certain`: it has no guard."""

    words: list[str | None] | None
    is_certain: bool
    part: Part


@dataclass
class Table:
    """The top level of one module.

    `exports` maps imported names to full names, including imports inside `try` and `if`. `symbols` maps names to the
    statements that bind them, and `entries` maps dicts of words to their entries. `declared` holds the full names in
    the annotations of a class's fields or of a function's first parameter. `effects` are statements that do something
    when the module is imported. `imported` are the modules of the package that it imports anywhere. `plain_classes`:
    isinstance runs none of their code.
    """

    exports: dict[str, str] = field(default_factory=dict)
    symbols: dict[str, list[Part]] = field(default_factory=dict)
    entries: dict[str, dict[str, Part]] = field(default_factory=dict)
    declared: dict[str, list[str]] = field(default_factory=dict)
    effects: list[Part] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    plain_classes: list[str] = field(default_factory=list)


def table_of(module: str, source: str, is_package: bool = False) -> Table:
    """The table of a module, from its full name and its source. Raises ValueError for `import *`."""
    tree = ast.parse(source)
    imports = _normalize(tree, module, is_package)
    table = Table(imported=sorted({name for node in imports for name in _loaded(node)}))
    for node in _of_one_scope(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            table.exports |= _imports(node)
    own = {name: f"{module}:{name}" for statement in tree.body for name in _bound_by(statement)}
    names = table.exports | own
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_for_types(statement):
            _Statement(statement, names).add_to(table)
    return table


def table_from_json(values: dict[str, Any]) -> Table:
    """The inverse of dataclasses.asdict."""
    return Table(
        exports=values["exports"],
        symbols={name: [_part(each) for each in parts] for name, parts in values["symbols"].items()},
        entries={
            name: {word: _part(each) for word, each in entries.items()} for name, entries in values["entries"].items()
        },
        declared=values["declared"],
        effects=[_part(each) for each in values["effects"]],
        imported=values["imported"],
        plain_classes=values["plain_classes"],
    )


def _part(values: dict[str, Any]) -> Part:
    choices = [
        Choice(one["key"], [Case(each["words"], each["is_certain"], _part(each["part"])) for each in one["cases"]])
        for one in values["choices"]
    ]
    return Part(values["code"], [Use(*use) for use in values["uses"]], choices)


# ---- Statements at the top of a module


@dataclass
class _Statement:
    node: ast.stmt
    names: dict[str, str]  # of the module -> full names

    def add_to(self, table: Table) -> None:
        """Adds the names that the statement defines, and its effects."""
        bound = _bound_by(self.node)
        declared = self._declared()
        entries = _entries(self.node)
        if entries is not None:
            table.entries[bound[0]] = {word: _read([value], self.names) for word, value in entries.items()}
        if isinstance(self.node, ast.ClassDef) and _is_plain(self.node):
            table.plain_classes.append(self.node.name)
        has_effect = self._has_effect()
        part = _read([self.node], self.names)
        for name in bound:
            table.symbols.setdefault(name, []).append(part)
            if declared:
                table.declared[name] = declared
        if has_effect:
            table.effects.append(part)

    def _declared(self) -> list[str]:
        annotations: list[ast.expr | None] = []
        if isinstance(self.node, ast.ClassDef):
            annotations = [each.annotation for each in self.node.body if isinstance(each, ast.AnnAssign)]
        if isinstance(self.node, ast.FunctionDef):
            annotations = [each.annotation for each in self.node.args.args[:1]]
        uses = [use.name for each in annotations if each is not None for use in _uses_of(each, self.names)]
        return sorted(set(uses))

    def _has_effect(self) -> bool:
        match self.node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                # A decorator of the package may register the function.
                return any(_uses_of(each, self.names) for each in self.node.decorator_list)
            case ast.Assign(targets=targets):
                return not all(_is_names(each) for each in targets)
            case ast.AnnAssign(target=target):
                return not _is_names(target)
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                return False
            case _:
                return True


def _bound_by(statement: ast.stmt) -> list[str]:
    """Names that a statement at the top level binds, except for imports."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom) or _is_for_types(statement):
        return []
    return sorted(_stored([statement]))


def _is_names(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) or (
        isinstance(target, ast.Tuple | ast.List) and all(_is_names(each) for each in target.elts)
    )


def _is_for_types(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING")


def _entries(statement: ast.stmt) -> dict[str, ast.expr] | None:
    """The entries of an assigned dict whose keys are all words; None for any other statement."""
    match statement:
        case ast.Assign(targets=[ast.Name()], value=ast.Dict(keys=keys, values=values)):
            pass
        case ast.AnnAssign(target=ast.Name(), value=ast.Dict(keys=keys, values=values)):
            pass
        case _:
            return None
    words = [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return dict(zip(words, values, strict=True)) if len(words) == len(keys) else None


def _is_plain(node: ast.ClassDef) -> bool:
    """Whether isinstance runs no code of the class."""
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    decorators = [ast.unparse(each) for each in node.decorator_list]
    return (
        not node.keywords
        and not methods & {"__instancecheck__", "__subclasshook__", "__subclasscheck__"}
        and not any(each.endswith("runtime_checkable") for each in decorators)
    )


# ---- Imports


def _make_absolute(node: ast.ImportFrom, module: str, is_package: bool) -> None:
    """Makes a relative import absolute. Raises ValueError for `import *`."""
    if node.level:
        parts = module.split(".")
        base = parts[: len(parts) - node.level + is_package]
        node.module, node.level = ".".join([*base, *([node.module] if node.module else [])]), 0
    if _is_ours(node.module or "") and any(each.name == "*" for each in node.names):
        raise ValueError(f"{module} imports * from {node.module}; import names, so that fingerprints can follow them")


def _imports(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Names that an import binds -> their full names."""
    if isinstance(node, ast.ImportFrom):
        return {each.asname or each.name: f"{node.module}:{each.name}" for each in node.names}
    roots = {each.name.split(".")[0] for each in node.names if each.asname is None}
    renamed = {each.asname: f"{each.name}:" for each in node.names if each.asname is not None}
    return {name: f"{name}:" for name in roots} | renamed


def _loaded(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What an import may load: modules of this package, and names that may be modules."""
    names = [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
    return [name for name in names if _is_ours(name)]


def _is_ours(name: str) -> bool:
    return name.partition(":")[0].partition(".")[0] == PACKAGE_NAME


# ---- What code uses


def _read(nodes: list[Any], names: dict[str, str], local: frozenset[str] = frozenset()) -> Part:
    """The part made of some syntax nodes. Changes the nodes: removes annotations and the cases of choices."""
    reader = _Reader(names, local)
    for node in nodes:
        reader.visit(node)
    code = "".join([*sorted(reader.foreign), *(_dump(node) for node in nodes)])
    return Part(hashlib.sha256(code.encode()).hexdigest()[:16], sorted(reader.uses), reader.choices)


def _uses_of(node: ast.expr, names: dict[str, str]) -> list[Use]:
    reader = _Reader(names, frozenset())
    reader.visit(node)
    return sorted(reader.uses)


class _Reader(ast.NodeVisitor):
    """Collects what code uses. `names` maps names of the scope to full names; the variables in `local` hide them."""

    def __init__(self, names: dict[str, str], local: frozenset[str]) -> None:
        self.names, self.local = names, local
        self.uses: set[Use] = set()
        # Names from other packages: the same code means something else if they are imported from elsewhere.
        self.foreign: set[str] = set()
        self.choices: list[Choice] = []

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(self._full(node))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        full = self._full(node)
        if full is None:
            self.visit(node.value)
        self._use(full)

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self._use(self.names.get(name))

    def _use(self, full: str | None, only_asked: bool = False) -> None:
        if full is not None and _is_ours(full):
            self.uses.add(Use(full, only_asked=only_asked))
        elif full is not None:
            self.foreign.add(full)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        full, key = self._full(node.value), _key_of(node.slice)
        if full is not None and key is not None and _is_ours(full):
            self.uses.add(Use(full, chosen_by=key))
            self.visit(node.slice)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass") and len(node.args) == 2:
            self.visit(node.args[0])
            self._ask(node.args[1])
        else:
            self.generic_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        self._ask(node.cls)
        for pattern in (*node.patterns, *node.kwd_patterns):
            self.visit(pattern)

    def _ask(self, node: ast.expr) -> None:
        match node:
            case ast.Tuple(elts=parts):
                for part in parts:
                    self._ask(part)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self._ask(left)
                self._ask(right)
            case ast.Name() | ast.Attribute():
                self._use(self._full(node), only_asked=True)
            case _:
                self.visit(node)

    def visit_Match(self, node: ast.Match) -> None:
        key = _key_of(node.subject)
        if key is None:
            self.generic_visit(node)
            return
        self.visit(node.subject)
        self.choices.append(Choice(key, [self._case(each) for each in node.cases]))
        node.cases = []

    def _case(self, case: ast.match_case) -> Case:
        words, is_certain = _words(case.pattern), case.guard is None
        guard = [case.guard] if case.guard else []
        return Case(words, is_certain, _read([case.pattern, *guard, *case.body], self.names, self.local))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node)

    def _visit_function(self, node: Function) -> None:
        """Decorators and defaults belong to the outer scope. Annotations do not count."""
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for argument in every:
            if argument is not None:
                argument.annotation = None
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        body: list[Any] = [node.body]
        if not isinstance(node, ast.Lambda):
            node.returns = None
            for decorator in node.decorator_list:
                self.visit(decorator)
            body = list(node.body)
        parameters = {argument.arg for argument in every if argument is not None}
        self._visit_inside(body, parameters | _stored(body))

    def _visit_inside(self, nodes: list[Any], bound: Iterable[str]) -> None:
        """Visits nodes of an inner scope, in which these names are bound. Its imports are known in the whole scope."""
        outer = self.names, self.local
        imported: dict[str, str] = {}
        for node in _of_one_scope(nodes):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported |= {name: full for name, full in _imports(node).items() if _is_ours(full)}
        self.names, self.local = self.names | imported, (self.local | frozenset(bound)) - imported.keys()
        for node in nodes:
            self.visit(node)
        self.names, self.local = outer

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node, [node.elt])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node, [node.key, node.value])

    def _visit_comprehension(self, node: Comprehension, made: list[ast.expr]) -> None:
        first = node.generators[0]
        self.visit(first.iter)
        inner = [*first.ifs, *node.generators[1:], *made]
        targets = [each.target for each in node.generators]
        self._visit_inside(
            inner, {part.id for each in targets for part in ast.walk(each) if isinstance(part, ast.Name)}
        )

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                # The type of a field runs no code.
                if statement.value is not None:
                    self.visit(statement.value)
            else:
                self.visit(statement)
        for outside in (*node.bases, *node.keywords, *node.decorator_list):
            self.visit(outside)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        node.annotation = ast.Constant(None)
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def _full(self, node: ast.expr) -> str | None:
        """The full name of what the module imports or defines; for other packages, only that of the import."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self.local or node.id not in self.names:
            return None
        full = self.names[node.id]
        return ".".join([full, *reversed(attributes)]).replace(":.", ":") if _is_ours(full) else full


def _key_of(node: ast.expr) -> str | None:
    """The config key whose value a name, attribute or entry holds, such as `ordering` or `config.layout`; else None."""
    match node:
        case ast.Name(id=name) if name in SPOKEN:
            return name
        case ast.Subscript(slice=ast.Constant(value=str() as name)) if name in SPOKEN:
            return name
        case ast.Attribute(attr=name, value=owner) if name in SPOKEN or "config" in _parts(owner):
            return name
        case _:
            return None


def _parts(node: ast.expr) -> list[str]:
    """The parts of a dotted name, last first. For other expressions, the parts after the last bracket."""
    match node:
        case ast.Attribute(attr=name, value=owner):
            return [name, *_parts(owner)]
        case ast.Name(id=name):
            return [name]
        case _:
            return []


def _words(pattern: ast.pattern) -> list[str | None] | None:
    """The words that a pattern matches; None if it may match any value."""
    match pattern:
        case ast.MatchValue(value=ast.Constant(value=str() as word)):
            return [word]
        case ast.MatchSingleton(value=None):
            return [None]
        case ast.MatchAs(pattern=ast.pattern() as inner):
            return _words(inner)
        case ast.MatchOr(patterns=patterns):
            parts = [_words(each) for each in patterns]
            return None if None in parts else [word for part in parts if part is not None for word in part]
        case _:
            return None


def _of_one_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below the given ones, but not the inside of functions and classes nor variables of comprehensions."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
                pass
            case ast.comprehension(iter=source, ifs=conditions):
                waiting += [source, *conditions]
            case _:
                waiting += ast.iter_child_nodes(node)


def _stored(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that statements bind in their own scope, including functions and classes."""
    found: set[str] = set()
    outside: set[str] = set()
    for node in _of_one_scope(nodes):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Global(names=names):
                outside |= set(names)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name.split(".")[0])
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                found.add(name)
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                found.add(name)
    return found - outside


# ---- Syntax trees as text


def _normalize(tree: ast.Module, module: str, is_package: bool) -> list[ast.Import | ast.ImportFrom]:
    """Removes docstrings and fields that only some Python versions have, makes imports absolute and returns them.

    So `_dump` gives the same text under Python 3.11, 3.12 and 3.13, and a change of Python reruns nothing.
    """
    imports: list[ast.Import | ast.ImportFrom] = []
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                first = node.body[0] if node.body else None
                if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                    node.body = node.body[1:] or [ast.Pass()]
                # Since 3.12 functions and classes have this field, mostly empty.
                if not getattr(node, "type_params", True):
                    delattr(node, "type_params")
            case ast.JoinedStr():
                # Early releases of 3.12 add an empty string to a nested format.
                node.values = [
                    each for each in node.values if not (isinstance(each, ast.Constant) and each.value == "")
                ]
            case ast.ImportFrom():
                _make_absolute(node, module, is_package)
                imports.append(node)
            case ast.Import():
                imports.append(node)
    return imports


def _dump(tree: ast.AST) -> str:
    # Since 3.13 empty lists are omitted by default.
    if sys.version_info >= (3, 13):
        return ast.dump(tree, show_empty=True)
    return ast.dump(tree)
