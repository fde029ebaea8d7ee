"""Errors that people see: one line each, never a traceback."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


def rebuilt(kind: str, message: str) -> MTNeuroError:
    """The error of this package whose type and text a process on another machine has told."""
    kinds = (InputError, SourceError, StoreError, TrainingError, OutOfMemoryError)
    return {each.__name__: each for each in kinds}.get(kind, MTNeuroError)(message)


def in_one_line(error: BaseException) -> str:
    """Type and first line of an error that is not an `MTNeuroError`, as run files record it."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint "; did you mean 'X'?" with the known name nearest to an unknown one, or nothing.

    Capitals do not count, and the last part of a name such as `val/loss` is enough. Of several words, as in `val/iou`,
    names that have them all come first.
    """
    by_small: dict[str, str] = {}
    for each in known:
        by_small.setdefault(each.lower().rpartition("/")[2], each)
        by_small[each.lower()] = each
    words = re.findall(r"[a-z0-9]+", name.lower())
    whole = [each for each in by_small if len(words) > 1 and all(word in each for word in words)]
    near = get_close_matches(name.lower(), whole, n=1, cutoff=0.0) or get_close_matches(name.lower(), by_small, n=1)
    return f"; did you mean {by_small[near[0]]!r}?" if near else ""


@contextmanager
def parsing(where: object, what: str, accepted: str, missing: str = "no such file") -> Iterator[None]:
    """Turn whatever the parser of a file raises in the body into one line.

    Args:
        where: File or folder.
        what: What it should hold, for errors.
        accepted: Where such a file comes from, for errors.
        missing: Error for a file that is not there.

    Raises:
        InputError: the body raised anything but an error of this package.
    """
    try:
        yield
    except MTNeuroError:
        raise
    except FileNotFoundError:
        raise InputError(f"{where}: {missing}; accepted: {accepted}") from None
    except Exception as error:  # parsers of foreign bytes raise anything
        raise InputError(f"{where}: is no whole {what} ({in_one_line(error)}); accepted: {accepted}") from None


@contextmanager
def noted(problems: list[str], prefix: str = "") -> Iterator[None]:
    """Add an error of the body to the problems, and go on."""
    try:
        yield
    except MTNeuroError as error:
        problems.append(f"{prefix}{error}")


def printable(text: str) -> str:
    """Text with every control or unprintable character replaced by its escape sequence."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )
