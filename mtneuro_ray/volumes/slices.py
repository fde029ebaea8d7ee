"""Which files of a folder are the slices of one volume, and in which order.

A lost, doubled or foreign picture would shift every later plane, so whatever does not count evenly is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from mtneuro_ray.errors import InputError

PICTURES = (".png", ".tif", ".tiff")


def slices_of(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the number that counts them.

    Other files, and hidden ones (such as the `._NAME` that macOS leaves), are ignored. All names must be alike but for
    their numbers, and one number must count the slices in even steps.

    Raises:
        InputError: there are no pictures, or they are no such series.
    """
    pictures = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURES and path.is_file() and not path.name.startswith(".")
    ]
    if not pictures:
        raise InputError(f"file:{folder}: no slices in this folder; accepted: {', '.join(PICTURES)} files")
    ordered = sorted(pictures, key=lambda path: (natural_key(path.name), path.name))
    _check_alike(ordered)
    _check_count(ordered)
    return ordered


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that orders numbers by value and the text between them as text."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def _check_alike(paths: Sequence[Path]) -> None:
    texts = [re.sub(r"\d+", "#", path.name.lower()) for path in paths]
    for path, text in zip(paths, texts, strict=True):
        if text != texts[0]:
            raise InputError(
                f"{path}: is named unlike {paths[0].name}; accepted: a folder whose pictures are the slices of one "
                "volume, names alike but for their number"
            )


def _check_count(paths: Sequence[Path]) -> None:
    columns = list(zip(*([int(number) for number in re.findall(r"\d+", path.name)] for path in paths), strict=True))
    if len(paths) == 1 or any(_even(column) for column in columns):
        return
    counting = [column for column in columns if all(a < b for a, b in pairwise(column))]
    if not counting:
        raise InputError(
            f"file:{paths[0].parent}: no number in the names of {paths[0].name}, {paths[1].name}, ... counts the "
            "slices; accepted: one plane per number, in even steps"
        )
    column = counting[0]
    step = min(b - a for a, b in pairwise(column))
    before, after = next((a, b) for a, b in pairwise(column) if b - a != step)
    raise InputError(
        f"file:{paths[0].parent}: slices are missing between numbers {before} and {after}; accepted: numbers in even "
        "steps (a blank picture may stand in for a lost slice)"
    )


def _even(column: Sequence[int]) -> bool:
    steps = {b - a for a, b in pairwise(column)}
    return len(steps) == 1 and steps.pop() > 0
