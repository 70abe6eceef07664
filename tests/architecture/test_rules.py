"""The house rules that a machine can check."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src/twostage").rglob("*.py"))
STAGES = ["data", "tokenizers", "latents", "priors", "sampling", "evaluation", "figures"]


@pytest.fixture(params=SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src/twostage")))
def module(request):
    return request.param


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_only_the_look_ups_of_the_rules_know_snakemake_and_nothing_dvc(module):
    known = {"snakemake"} if module.parent.name == "rules" else set()
    assert {"snakemake", "dvc"} & set(imported(module)) <= known


def test_only_what_reads_overrides_imports_hydra(module):
    assert "hydra" not in set(imported(module)) or module.name == "overrides.py"


def test_modules_and_functions_stay_short(module):
    # Past this a module holds two ideas.
    assert len(module.read_text().splitlines()) <= 600
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


# They count as code of stored jobs, which a change would make anew. What they are given was looked at before: paths of
# a config by `config.values.check_paths`, and in commands TWOSTAGE_CACHE by `twostage.__main__`.
BARE = {"sources/fetch.py", "sampling/masks.py", "sampling/condition_file.py"}


def test_only_one_function_looks_for_home_folders(module):
    """A bare call raises RuntimeError for a user without one."""
    name = str(module.relative_to(ROOT / "src/twostage"))
    calls = {node.attr for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Attribute)}
    is_bare = bool(calls & {"expanduser"})
    assert is_bare == (name in BARE or name == "home.py")


def test_nothing_is_named_for_being_helpful(module):
    assert not re.search(r"util|helper|misc|common", module.stem)


def private(name):
    return name.startswith("_") and not name.startswith("__")


@functools.cache
def defined_in(path):
    """Names with a leading underscore that a module gives to functions, classes, variables and attributes."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name for name in found if private(name)}


def reaches(path):
    """Private names of other modules of the package that this one imports or asks an object for."""
    others = set().union(*(defined_in(other) for other in SOURCES if other != path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twostage"):
            yield from (alias.name for alias in node.names if private(alias.name))
        elif isinstance(node, ast.Attribute) and node.attr in others - defined_in(path):
            yield node.attr


def test_a_private_name_is_used_in_its_own_module_alone(module):
    assert list(reaches(module)) == []


def test_a_reach_into_another_module_is_seen(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from twostage.planning.study import _word\nfrom twostage.planning import study\n"
        "study._points\nself._own = 1\nself._own\ntorch.ops._theirs\n"
    )
    assert list(reaches(tmp_path / "mine.py")) == ["_word", "_points"]


def test_nothing_unsafe_or_silent(module):
    text = module.read_text()
    assert not re.search(r"weights_only\s*=\s*False|\bpickle\.loads?\(|except\s*:|strict\s*=\s*False", text)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_name_everywhere(stage):
    assert (ROOT / "src/twostage" / stage / "__init__.py").exists()
    assert (ROOT / "conf" / stage).is_dir()
    assert (ROOT / "tests/unit" / stage).is_dir()


def test_every_rule_has_log_benchmark_threads_and_resources():
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    # Those that only give another name to a file run nothing.
    rules = [
        rule for text in texts for rule in re.split(r"^ *rule\b", text, flags=re.MULTILINE)[1:] if "output:" in rule
    ]
    assert len(rules) == 6
    for rule in rules:
        for part in ("log:", "benchmark:", "threads:", "mem_mb=", "runtime=", "gpu=", "shell:"):
            assert part in rule, f"{rule} lacks {part}"
        assert "run:" not in rule
        assert "script:" not in rule


def test_every_default_of_a_config_says_where_it_comes_from():
    for stage in ("tokenizers", "priors", "latents", "sampling"):
        for path in (ROOT / "conf" / stage).glob("*.yaml"):
            for line in path.read_text().splitlines():
                plain = re.fullmatch(r"\s+\w+: (?!\$)\S.*", line)
                assert plain is None or re.search(r"# *(paper|released|ours|Chen)", line), f"{path.name}: {line}"


@pytest.mark.parametrize(
    "name",
    [
        "planning.whole",
        "figures.table1",
        "commands.redraw",
        "commands.page",
        "evaluation.compare",
        "data.prepare",
        "latents.plain",
    ],
)
def test_what_needs_no_torch_does_not_wait_for_it(name):
    """Loading torch takes seconds of every process; a run has hundreds."""
    loaded = f"import sys, twostage.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["priors.train", "--help"],
        ["sample", "--help"],
        ["plan", "table1", "scale=smoke"],
        ["redraw", "sundae_steps"],
        ["train", "-m", "--dry", "priors.loop.seed=0,1"],
        ["--complete", "bash", "twostage train priors="],
        ["priors.train", "--cfg", "tree"],
    ],
)
def test_what_needs_no_torch_is_answered_without_it(words, tmp_path):
    out = ["--out", str(tmp_path)] if words[0] == "redraw" else []
    typed = f"""
import sys
from twostage.__main__ import main
sys.argv = {["twostage", *words, *out]!r}
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", typed], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
