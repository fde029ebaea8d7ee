"""A page taken apart: its texts by tag, its data blocks, and every address and script in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """A page that is parsed; raises AssertionError if a tag is closed out of turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, Any] = {}
        self.scripts: list[str] = []
        self._block = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        self._block = dict(attrs).get("id") or "" if tag == "script" else ""
        if tag not in _VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open:
            return
        tag = self.open[-1]
        self.texts[tag][-1] += data
        if tag == "script":
            if self._block:
                self.data[self._block.removeprefix("data-")] = json.loads(data)
            else:
                self.scripts.append(data)

    def text_of(self, tag: str) -> list[str]:
        """The text of each element of a kind, without that of elements in it."""
        return self.texts.get(tag, [])

    @property
    def tiles(self) -> dict[str, str]:
        """The numbers of the summary by their meaning."""
        found = re.findall(r'<div class="tile[^"]*"><b>([^<]*)</b><span>([^<]*)</span>', self.text)
        return {label: value for value, label in found}

    @property
    def addresses(self) -> list[str]:
        """Whatever an element refers to."""
        names = ("src", "href", "xlink:href", "srcset", "action", "data", "poster")
        return [str(own[name]) for _, own in self.attributes for name in names if name in own]

    @property
    def policy(self) -> str:
        """The content security policy."""
        [found] = [own["content"] for _, own in self.attributes if own.get("http-equiv") == "Content-Security-Policy"]
        return str(found)


def hash_of(text: str) -> str:
    """The source of a script or style in a policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
