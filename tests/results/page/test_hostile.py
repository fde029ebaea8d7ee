"""Names, errors and logs that try to be code: the page shows them as text."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtneuro_ray.results import Results
from mtneuro_ray.results.page.document import as_json
from mtneuro_ray.results.report import html_page
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunFolder, RunRecord
from tests.results.figures.test_curves import history
from tests.results.page.reading import Page, hash_of
from tests.results.records import segmentation_record

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "{{ 7 * 7 }}<!--",
    "\u2028\u2029\x00\x1b[31m",
)


def renamed(record: RunRecord, text: str, **changes: Any) -> RunRecord:
    """A record with names that run files may have: any but slashes and control characters, which are refused."""
    settings = copy.deepcopy(record.settings)
    settings["task"] |= {"name": text, "classes": [text, "b", "c"]}
    settings["network"]["name"] = text
    return replace(record, settings=settings, summary={**record.summary, "model": text, "task": text}, **changes)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = Folder(tmp_path)
    for number, text in enumerate(HOSTILE):
        about: dict[str, Any] = {"host": text, "notes": [text], "versions": {text: text}}
        name = text if text.isprintable() and "/" not in text else f"<script>alert({number})<!--"
        done = renamed(segmentation_record(seed=number), name, history=history(0.1, 0.2), **about)
        failed = renamed(segmentation_record(seed=number + 100), name, status="error", error=text, metrics={})
        RunFolder(folder).write(done)
        RunFolder(folder).write(failed)
        (folder / "logs").write(f"{failed.run_id}.log", text.encode())
    return tmp_path


def test_no_text_of_a_file_becomes_code(out: Path) -> None:
    page = Page(html_page(Results(out), HOSTILE[0]))
    [script] = page.scripts
    [style] = page.text_of("style")
    assert hash_of(script) in page.policy
    assert hash_of(style) in page.policy
    assert "unsafe" not in page.policy
    assert "default-src 'none'" in page.policy
    attributes = {name for _, own in page.attributes for name in own}
    assert not any(name.startswith("on") for name in attributes)
    assert "style" not in attributes
    assert {tag for tag, _ in page.attributes} & {"iframe", "object", "embed", "base", "link", "img", "svg"} == set()
    assert all(address.startswith("#") for address in page.addresses)
    # Every name is there, as text.
    titles = " ".join(search["title"] for search in page.data["searches"])
    assert all(text in titles for text in HOSTILE[1:6])
    assert page.text_of("title") == [HOSTILE[0]]
    assert HOSTILE[1] in " ".join(page.text_of("summary"))
    assert HOSTILE[1] in page.text_of("pre")


def test_json_in_a_block_cannot_end_it() -> None:
    assert "<" not in as_json({"</script>": ["<!--", {"a": "<b>"}]})
    assert as_json([float("nan"), float("inf"), 1 / 3, 10**6, True, None]) == "[null,null,0.333333,1000000,true,null]"
