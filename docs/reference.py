"""Pages of the site that are made from the code, the configs and the results, each time that the site is built."""

import argparse
import importlib
import inspect
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml
from omegaconf import MISSING

from twostage.commands import run
from twostage.commands.dispatch import COMMANDS, IMPORTS, work_of
from twostage.config import composition
from twostage.config.reference import keys
from twostage.planning.verbs import VERBS

ROOT = Path(__file__).parents[1]
SCALES = ("smoke", "laptop", "night", "workstation", "paper")
# Options whose keys differ; of other groups the default is shown.
SHOWN = {"tokenizers": ["vqgan_f4", "kmeans_f1"], "priors": ["gpt", "pixelsnail", "sundae", "absorbing"]}
LINK = re.compile(r"\[([^\]]*)\]\(\.\./([^)#]+)(#[^)]*)?\)")

API = """# Python

```{eval-rst}
.. automodule:: twostage.api
   :no-members:

.. autofunction:: twostage.api.load_tokenizer
.. autofunction:: twostage.api.load_prior
.. autofunction:: twostage.api.encode
.. autofunction:: twostage.api.decode
.. autofunction:: twostage.api.sample
.. autofunction:: twostage.api.inpaint

.. autoclass:: twostage.sampling.draw.Draw
   :members: check, codes, probabilities

.. autoclass:: twostage.sampling.denoising.Schedule
   :members: at

What is loaded
--------------

.. autoclass:: twostage.tokenizers.model.Tokenizer
   :members: prepare, encode, decode, features

.. autoclass:: twostage.priors.model.Prior
   :members: logits

.. autoclass:: twostage.priors.denoiser.DenoisingPrior
   :members: logits

.. autoclass:: twostage.latents.dataset.TokenSpace
   :members: num_tokens
```
"""


def write(folder: Path) -> None:
    """Writes all pages into a folder that git ignores."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "results").mkdir(parents=True)
    pages = {"api": API, "configuration": configuration(), "commands": commands()}
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    for path in sorted((ROOT / "results").glob("*.md")):
        (folder / "results" / path.name).write_text(_result(path))


def linked(text: str) -> str:
    """A page's links out of docs/: to tables, which are pages of the site; to folders, which the site lacks."""

    def place(match: re.Match[str]) -> str:
        words, path, heading = match[1], match[2], match[3] or ""
        if path.startswith("results/") and path.endswith(".md"):
            return f"[{words}](generated/{path}{heading})"
        return match[0] if (ROOT / path).is_file() else f"`{path}`"

    return LINK.sub(place, text)


def _result(path: Path) -> str:
    text = re.sub(r"\]\(((?!http)[^)/]+\.json)\)", r"](../../../results/\1)", path.read_text())
    text = LINK.sub(lambda match: f"`{match[2]}`", text)
    head = "" if path.stem == "claims" else "---\norphan: true\n---\n\n"
    return head + (text if text.startswith("# ") else f"# {path.stem}\n\n{text}")


def configuration() -> str:
    """Every key: its values, its default at scale laptop, and where that comes from."""
    parts = [
        "# Configuration",
        "Every key of `conf/`: its values, its default at scale laptop, and where the default comes from, as "
        "its file says. Keys without a remark take their value from another key or from the [scale](#scales).",
    ]
    for group in composition.groups():
        if group not in ("scale", "study"):
            parts += [f"## {group}", *_group(group)]
    return "\n\n".join([*parts, "## Scales", _scales()]) + "\n"


def _group(group: str) -> list[str]:
    options = composition.options(group)
    shown = SHOWN.get(group, [composition.default(group)])
    found = list(keys(group))
    said = {key.name: key.said for key in found}
    tables = [f"Options: {', '.join(f'`{name}`' for name in options)}."]
    for name in shown:
        values = dict(_leaves(composition.compose((f"{group}={name}",))[group], group, said))
        remarks = _remarks(ROOT / f"conf/{group}/{name}.yaml", group)
        sections = {key.rpartition(".")[0] for key in values}
        for key in found:
            if key.default != MISSING and key.name.rpartition(".")[0] in sections and key.name not in values:
                values[key.name] = key.default
                remarks[key.name] = "an option: configs leave it out while it has this default"
        rows = [
            (f"`{key}`", said.get(key, ""), f"`{_short(value)}`", remarks.get(key, "")) for key, value in values.items()
        ]
        tables += [f"### {group}={name}", _table(("key", "values", "default", "where it comes from"), rows)]
    return tables


def _leaves(tree: object, name: str, whole: Iterable[str] = ()) -> list[tuple[str, object]]:
    """Keys and values. Of the keys in `whole`, a dict is the value."""
    if not isinstance(tree, dict) or not tree or name in whole:
        return [(name, tree)]
    return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{name}.{key}", whole)]


def _short(value: object) -> str:
    """A value as YAML writes it, on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _remarks(path: Path, group: str) -> dict[str, str]:
    """Key -> the comment on its line."""
    text = path.read_text()
    lines = text.splitlines()

    def read(node: yaml.Node, name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, value in node.value:
            full = f"{name}.{key.value}"
            _, _, remark = lines[key.start_mark.line].partition(" # ")
            found[full] = remark.strip()
            if isinstance(value, yaml.MappingNode):
                found |= read(value, full)
        return found

    return read(yaml.compose(text), group)


def _scales() -> str:
    trees = [dict(_leaves(composition.compose((f"scale={name}",))["scale"], "scale")) for name in SCALES]
    names = dict.fromkeys(key for tree in trees for key in tree)
    rows = [(f"`{key}`", *(f"`{_short(tree[key])}`" if key in tree else "" for tree in trees)) for key in names]
    return _table(("key", *SCALES), rows)


def commands() -> str:
    """Every word of the command line."""
    parts = [
        "# All commands and verbs",
        "[command_line.md](../command_line.md) explains them. A verb makes one artifact of one stage. Snakemake calls "
        "it, or you do. Every command and every verb lists its keys with `--help`.",
        "## Commands",
    ]
    for name, (module, about) in COMMANDS.items():
        parts += [f"### {name}", f"{about[0].upper()}{about[1:]}.", *_usage(module)]
    parts += ["## Verbs", "All verbs take the same words:", _help(run.verb_parser("priors.train", "VERB"))]
    for stage in dict.fromkeys(verb.split(".")[0] for verb in VERBS):
        parts += [f"### {stage}", _table(("verb", "what it does", "files"), _rows(stage))]
    for name in IMPORTS:
        about = inspect.getdoc(importlib.import_module(f"twostage.{name}")) or ""
        parts += [f"### {name}", _paragraph(about)]
    return "\n\n".join(parts) + "\n"


def _usage(module: str) -> list[str]:
    found = importlib.import_module(f"twostage.{module}")
    return [_help(found.parser())] if hasattr(found, "parser") else [_paragraph(inspect.getdoc(found) or "")]


def _help(parser: argparse.ArgumentParser) -> str:
    # The parser's own help adds the keys, which have a page of their own.
    return f"```text\n{argparse.ArgumentParser.format_help(parser).rstrip()}\n```"


def _rows(stage: str) -> list[tuple[str, ...]]:
    verbs = {name: verb for name, verb in VERBS.items() if name.startswith(f"{stage}.")}
    return [
        (f"`{name}`", _paragraph(inspect.getdoc(work_of(name)) or ""), ", ".join(f"`{file}`" for file in verb.files))
        for name, verb in verbs.items()
    ]


def _paragraph(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.split("\n\n")[0].split())


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple(":--" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
