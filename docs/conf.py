"""The site of the documentation: `make docs` builds it into build/docs/."""

import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "src")]

import reference  # noqa: E402 - beside this file

project = "twostage"
author = "the twostage authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "README"
exclude_patterns = ["examples"]
default_role = "code"
html_theme = "furo"
html_show_copyright = False
html_title = "twostage"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_member_order = "bysource"
# The tutorial runs in an empty folder of its own. An older run serves as long as no cell changes.
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_cache_path = str(DOCS.parent / "build/docs_notebooks")

# The pages, as the site lists them. On GitHub, docs/README.md does.
TREES = {
    "Start": ["quickstart", "tutorial", "install"],
    "How to": ["command_line", "models", "own_data", "own_study", "canvases", "datasets", "dvc", "cluster", "cost"],
    "More how to": ["performance", "troubleshooting", "faq"],
    "Results": ["results", "claims", "generated/results/claims"],
    "Explanation": ["protocol", "table1", "fid"],
    "Reference": ["generated/api", "generated/configuration", "generated/commands", "file_formats", "glossary"],
}


def _read(app, name, source):  # noqa: ARG001 - as Sphinx calls it
    """Lists the pages on the first one, and leads links out of docs/ to where the site has their targets."""
    if (DOCS / f"{name}.md").parent == DOCS:
        source[0] = reference.linked(source[0])
    if name == root_doc:
        trees = [
            f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```"
            for caption, pages in TREES.items()
        ]
        source[0] += "\n\n" + "\n\n".join(trees)


def _first_page(app, error):
    if error is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app):
    """Called by Sphinx."""
    reference.write(DOCS / "generated")
    app.connect("source-read", _read)
    app.connect("build-finished", _first_page)
