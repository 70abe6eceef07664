"""What a person sees of a command: its log, and errors in one line."""

import errno
import logging
import os
import re
import sys
import traceback
from pathlib import Path

from twostage.errors import TwostageError
from twostage.runtime.artifacts import NOT_WRITABLE

# A folder lies there, a file lies where a folder should, or the name is too long.
NO_PLACE = (errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG)
# As torch says it, of a processor or a GPU; NumPy raises a MemoryError.
_NO_MEMORY = re.compile(r"allocate memory|tried to allocate|out of memory", re.IGNORECASE)
log = logging.getLogger("twostage")


class one_line_errors:  # noqa: N801 - a context manager reads as a phrase
    """Context manager: an error that is meant for the user is logged as one line, and the process exits with 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """Turns the user's errors into one line; every other error keeps its traceback."""
        if isinstance(error, TwostageError):
            self._exit(str(error))
        if isinstance(error, KeyboardInterrupt):
            self._exit("stopped; the same command goes on, a training from its last checkpoint", 130)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._exit(f"the disk is full while writing {error.filename or 'an artifact'}; free some space, run again")
        if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
            self._exit(
                f"no permission for {error.filename} ({error.strerror}); make it readable and writable for you, or "
                "work in a folder of your own"
            )
        if isinstance(error, Exception):
            _keep_traceback(error)
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
            said = next(iter(str(error).splitlines()), "")[:200]
            self._exit(f"not enough memory ({said}); ask for fewer or smaller images, or for a smaller batch")
        if isinstance(error, OSError) and error.errno in NO_PLACE and error.filename:
            self._exit(f"cannot write {error.filename} ({error.strerror}); name another path")
        if isinstance(error, FileNotFoundError) and "artifacts" in Path(str(error.filename)).parts:
            # A run takes a job's files away before it makes them anew; the job of a killed run may still be at work.
            self._exit(f"{error.filename} was taken away while this ran, as by a second run of the job; run it again")

    def _exit(self, line: str, status: int = 1) -> None:
        log.error("error: %s", " ".join(line.split()))
        raise SystemExit(status)


def _keep_traceback(error: Exception) -> None:
    """To the log file; Python prints it on stderr, too."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            handler.stream.write("".join(traceback.format_exception(error)))
            handler.flush()


def start_log(path: Path | None) -> None:
    """Logs to stderr, and to the file as well; in a run that has the terminal for itself, to the file alone.

    Then all that is said on stderr, tracebacks and warnings of libraries too, goes to the file.
    """
    # A log file on a full disk would answer every line with a traceback of its own; the console still has the line.
    logging.raiseExceptions = False
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    if path is not None and os.environ.get("TWOSTAGE_LOG_ALONE"):
        with open(path, "a") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
    elif path is not None:
        # Names of files may be no text: stderr escapes such bytes by itself.
        handlers.append(logging.FileHandler(path, encoding="utf-8", errors="backslashreplace"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
