"""Errors that people see: one line each, never a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class MTNeuroError(Exception):
    """An error that its message explains in full; the command line exits with `exit_status`."""

    exit_status = 1

    def __init__(self, message: str) -> None:
        # Messages quote keys, values and other libraries, which may hold line breaks.
        super().__init__(" ".join(message.splitlines()))


class InputError(MTNeuroError):
    """A file, key or option is wrong: `WHERE: KEY: what is wrong; what is accepted`."""

    exit_status = 2


class SourceError(MTNeuroError):
    """A volume cannot be read, after all retries."""


class StoreError(MTNeuroError):
    """The cutout store is damaged, lacks requested voxels, or cannot be written."""


class TrainingError(MTNeuroError):
    """A run could not be trained to its end, as after a diverged loss."""


class OutOfMemoryError(TrainingError):
    """The memory of the GPU or of the machine is exhausted."""


def in_one_line(error: BaseException) -> str:
    """Type and first line of an error that is not an `MTNeuroError`, as run files record it."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint "; did you mean 'X'?" with the known name nearest to an unknown one, or nothing."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def printable(text: str) -> str:
    """Text with every control or unprintable character replaced by its escape sequence."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )
