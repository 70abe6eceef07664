"""Tab completion, asked as the shell asks."""

import subprocess
import sys

import pytest

from twostage.commands.completion import replies, script

pytestmark = pytest.mark.usefixtures("repository_conf")


@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("twostage tra", ["train ", "trace "]),
        ("twostage priors.tr", ["priors.train "]),
        ("twostage --comp", ["--completion "]),
        ("twostage priors.train --c", ["--cfg ", "--config-dir "]),
        ("twostage priors.train --cfg ", ["job ", "tree "]),
        ("twostage priors.train pri", ["priors=", "priors.loop.seed="]),
        ("twostage priors.train priors=", ["gpt ", "sundae "]),
        ("twostage train priors=gpt data=fashion", ["fashion_mnist "]),
        ("twostage sample priors.ordering=sp", ["spiral_out ", "spiral_in "]),
        ("twostage sample scale.sampling.num", ["scale.sampling.num_images="]),
        ("twostage plan ed", ["edges ", "edges_sundae "]),
        ("twostage redraw figures.font", ["figures.font_size="]),
        ("twostage check data=imag", ["imagenet "]),
    ],
)
def test_what_may_come_next_is_among_the_replies(line, among):
    found = replies("bash", line)
    assert set(among) <= set(found)
    word = line.rpartition(" ")[2]
    assert all(reply.startswith(word.rpartition("=")[2]) for reply in found)


@pytest.mark.parametrize(
    "line", ["", "twostage", "twostage nothing x", "twostage trace x", "twostage train 'x", "twostage train x.y="]
)
def test_where_nothing_is_known_nothing_is_said(line):
    assert replies("bash", line) == []


def test_groups_that_a_command_does_not_read_are_left_out():
    assert replies("bash", "twostage redraw priors") == []


def test_zsh_takes_whole_words():
    assert replies("zsh", "twostage train data=fashion_mnist_") == ["data=fashion_mnist_28 "]


def test_bash_completes_by_the_script(tmp_path):
    """The script itself, with the completer in place of the installed command."""
    asked = f"""
        twostage() {{ {sys.executable} -m twostage "$@"; }}
        {script("bash")}
        COMP_LINE="twostage priors.train priors=pix" COMP_POINT=32
        _twostage
        printf '%s|' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert result.stdout == "pixelsnail |"
