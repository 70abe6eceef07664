"""`twostage fetch [NAME ...]`: fills the user cache, on a machine that has network."""

import argparse
import logging

from twostage.commands.console import one_line_errors
from twostage.errors import TwostageError
from twostage.sources.fetch import obtain
from twostage.sources.registry import OPTIONAL, SOURCES
from twostage.sources.released import RELEASED
from twostage.sources.resumed import obtain_released

log = logging.getLogger("twostage")


def main() -> None:
    """Fills the user cache with the sources named, or with all. Released checkpoints come only by their names."""
    parser = argparse.ArgumentParser(prog="twostage fetch", description=main.__doc__)
    parser.add_argument(
        "names", nargs="*", default=[n for n in SOURCES if n not in OPTIONAL], help=", ".join([*SOURCES, *RELEASED])
    )
    names = parser.parse_args().names
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        if unknown := [name for name in names if name not in (*SOURCES, *RELEASED)]:
            raise TwostageError(f"unknown source {unknown[0]!r}; expected one of {', '.join([*SOURCES, *RELEASED])}")
        for name in names:
            if name in RELEASED:
                obtained = obtain_released(RELEASED[name])
                log.info("%s: %s, %s", name, obtained.config, obtained.checkpoint)
                continue
            for path in obtain(name).paths.values():
                log.info("%s: %s", name, path)
