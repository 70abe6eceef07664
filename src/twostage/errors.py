"""The one error type that a user is meant to read."""


class TwostageError(Exception):
    """One line for the user: what was wrong, what was expected, how to mend it.

    Every verb turns it into one line on stderr and exit status 1 (see `twostage.commands.console`).
    """
