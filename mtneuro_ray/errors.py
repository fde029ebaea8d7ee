"""The errors that a person sees: one line each, never a traceback."""


class MTNeuroError(Exception):
    """Something went wrong that the message explains in full; the command line exits with `exit_status`."""

    exit_status = 1

    def __init__(self, message: str) -> None:
        # Messages quote keys, values and other libraries, which may hold line breaks.
        super().__init__(" ".join(message.splitlines()))


class InputError(MTNeuroError):
    """A file, key or option is wrong: `WHERE: KEY: what is wrong; what is accepted`."""

    exit_status = 2


class SourceError(MTNeuroError):
    """A volume could not be read, after every retry that made sense."""


class StoreError(MTNeuroError):
    """The cutout store is damaged, lacks what was asked of it, or can't be written."""


class TrainingError(MTNeuroError):
    """A run could not be trained to its end (a diverged loss, memory exhausted)."""


class OutOfMemoryError(TrainingError):
    """The memory of the GPU, or of the machine, is exhausted."""


def in_one_line(error: BaseException) -> str:
    """An error that is none of ours, as a run file tells it: its type and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def printable(text: str) -> str:
    """Text in which each character that a terminal would act on, or can't show, is replaced by its escape sequence."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )
