"""Paths as a person types them: `~` is the home folder."""

from pathlib import Path

from twostage.errors import TwostageError


def home(path: str | Path) -> Path:
    """The path with `~` or `~name` at its beginning replaced by the user's home folder.

    Raises TwostageError if there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = Path(path).parts[0]
        raise TwostageError(
            f"{path}: no home folder for {user}; write the whole path, or ./{path} if a name begins with ~"
        ) from error
