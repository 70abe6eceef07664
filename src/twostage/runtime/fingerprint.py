"""What code a verb runs, as hashes: a changed loss reruns the jobs that use it, a comment reruns nothing.

Snakemake does not follow imports. A fingerprint is the hash of the syntax trees, without docstrings, of every module
of this package that a verb imports, directly or not.
"""

import ast
import functools
import hashlib
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

# These say what is asked of a job, and that already stands in the job's resolved config; they compute no result.
NOT_COUNTED = re.compile(r"twostage\.(config|planning|errors|runtime\.job)(\..*)?")


def fingerprint(verb: str) -> dict[str, str]:
    """Module name -> sha256 for the verb ("priors.train") and all it imports of this package."""
    found: dict[str, str] = {}
    waiting = [f"twostage.{verb}"]
    while waiting:
        module = waiting.pop()
        if module in found or NOT_COUNTED.fullmatch(module):
            continue
        found[module], imported = _read(module)
        waiting += imported
    return dict(sorted(found.items()))


def _path(module: str) -> Path | None:
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@functools.cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    path = _path(module)
    if path is None:
        raise FileNotFoundError(f"no module {module} under {PACKAGE}")
    tree = ast.parse(path.read_text())
    _strip_docstrings(tree)
    code = hashlib.sha256(_dump(tree).encode()).hexdigest()
    # Importing a.b.c runs a and a.b as well.
    parents = tuple(module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1))
    return code, (*parents, *_imported(tree))


def _dump(tree: ast.AST) -> str:
    """The tree as text, the same under Python 3.11, 3.12 and 3.13: another Python is no reason to train again."""
    for node in ast.walk(tree):
        # Since 3.12 functions and classes have this field. Empty, it says nothing.
        if not getattr(node, "type_params", True):
            delattr(node, "type_params")
        # Early releases of 3.12 end a nested format with an empty string.
        if isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    # Since 3.13 empty lists are left out unless asked for.
    if sys.version_info >= (3, 13):
        return ast.dump(tree, show_empty=True)
    return ast.dump(tree)


def _strip_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]


def _imported(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] == "twostage" and _path(name)]
