"""A named figure as a file, or as a part of a page."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, ScalarFormatter

# Resolution of a file, and of a photo within a page, which holds many pictures.
_FILE_DPI = 150
_PAGE_DPI = 90


class Picture(NamedTuple):
    """One figure with its file name, without a suffix, and its title on a page.

    A photo consists of pixels, or of so many surfaces that a page holds it as pixels.
    """

    name: str
    title: str
    figure: Figure
    is_photo: bool = False

    def encode(self, kind: str, dpi: int = _FILE_DPI) -> bytes:
        """The figure as png, svg or pdf."""
        out = io.BytesIO()
        _make_plain(self.figure)
        # Without the date and with a fixed salt, the same figure gives the same file.
        dated = {"svg": "Date", "pdf": "CreationDate"}.get(kind)
        with rc_context({"svg.hashsalt": self.name}):
            self.figure.savefig(out, format=kind, dpi=dpi, metadata={dated: None} if dated else None)
        return out.getvalue()

    def as_address(self) -> str:
        """The figure as the address of an image, `data:...`, for a page that loads nothing."""
        kind = "png" if self.is_photo else "svg"
        return as_address(self.encode(kind, _PAGE_DPI), "png" if self.is_photo else "svg+xml")


def as_address(content: bytes, kind: str) -> str:
    """The content of an image as an address, `data:...`, for a page that loads nothing; `kind` as in `image/png`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _make_plain(figure: Figure) -> None:
    """Draw every text literally: a name between dollars is no formula, and no control character reaches a file."""
    numbers = {
        id(label)
        for axes in figure.axes
        for axis in axes._axis_map.values()
        if isinstance(axis.get_major_formatter(), (ScalarFormatter, LogFormatter))
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
    }
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in numbers:
            text.set_parse_math(False)
            text.set_text(
                "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text.get_text())
            )


def distinct(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """The pictures with names that are file names, no two of them the same."""
    seen: Counter[str] = Counter()
    for picture in pictures:
        name = "".join(letter if letter.isalnum() or letter in "-_.+" else "_" for letter in picture.name)
        seen[name] += 1
        yield picture._replace(name=name if seen[name] == 1 else f"{name}-{seen[name]}")
