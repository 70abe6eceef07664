"""The commands that README and docs/ tell a reader to type, as they stand there."""

import re

STARTS = ("python -m twostage", "twostage ", "python benchmarks", "snakemake ", "dvc ", "make ", "pytest ")
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def commands(text):
    """Every line of a ```bash block, cut at && and ;, and every code span that starts like a command, in order."""
    found = []
    for block in BLOCK.findall(text):
        for line in re.sub(r" *\\\n *", " ", block).splitlines():
            found += _parts(re.sub(r"(^|\s+)#.*", "", line))
    for span in SPAN.findall(BLOCK.sub("", text)):
        found += [part for part in _parts(" ".join(span.split())) if part.startswith(STARTS)]
    return list(dict.fromkeys(found))


def _parts(line):
    """A line's commands; what is quoted stays whole."""
    quoted = re.split(r"""("[^"]*"|'[^']*')""", line)
    cut = [part if part[:1] in "\"'" and part else re.sub(r"\s*(?:&&|;)\s*", "\n", part) for part in quoted]
    return [part.strip() for part in "".join(cut).split("\n") if part.strip()]
