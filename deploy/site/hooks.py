"""What the site adds to docs/: pages that stand elsewhere in the repository, and the reference, made from the types."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtneuro_ray.cli.list import listings_of
from mtneuro_ray.cli.main import COMMANDS, command_named
from mtneuro_ray.results.printing import markdown
from mtneuro_ray.results.tables import Table

ROOT = Path(__file__).parents[2]
# File of the repository -> page of the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
KINDS = ("models", "methods", "losses", "metrics", "tasks", "networks", "spaces", "volumes", "trackers")
_LINK = re.compile(r"(?<!`)(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are no files of docs/."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=linked((ROOT / source).read_text(), source, page)))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    for kind in KINDS:
        files.append(File.generated(config, f"reference/{kind}.md", content=reference(kind)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links to pages."""
    uri = str(page.file.src_uri)
    return markdown if page.file.generated_by else linked(markdown, f"docs/{uri}", uri)


def linked(text: str, source: str, page: str) -> str:
    """Markdown whose links within the repository lead to pages of the site, or are names where there is no page.

    Args:
        text: Markdown.
        source: File of the repository that it stands in.
        page: Page that it becomes, relative to the site.
    """

    def link(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if not path or ":" in path:
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if (to := PAGES.get(file)) is None and file.startswith("docs/"):
            to = file.removeprefix("docs/")
        if to is None or not (mark or to.endswith(".md")):
            name = words.strip("`")
            return f"`{file}`" if name == Path(file).name or name == file else f"{words} (`{file}`)"
        return f"{mark}[{words}]({posixpath.relpath(to, posixpath.dirname(page) or '.')}{hash_}{anchor})"

    return _LINK.sub(link, text)


def reference(kind: str) -> str:
    """A page of all names of a kind, and every key of each."""
    parts = [f"# {kind.capitalize()}", f"As `mtneuro-ray list {kind}` prints it."]
    names: list[str] = []
    for title, rows in listings_of(kind).items():
        parts.append(_table(title, rows))
        names += [row["name"] for row in rows]
    for name in names:
        parts += [f"## {name}", *(_table(title, rows) for title, rows in listings_of(kind, name).items() if rows)]
    return "\n\n".join(parts) + "\n"


def _table(title: str, rows: list[dict[str, str]]) -> str:
    return markdown([Table(title, [*rows[0]], [[*row.values()] for row in rows])])


def commands() -> str:
    """A page of every command with its options."""
    return "\n\n".join(["# Commands", *_commands()]) + "\n"


def _commands() -> Iterator[str]:
    for name, (_, help_, example) in COMMANDS.items():
        yield f"## {name}\n\n{help_}\n\n    mtneuro-ray {example}"
        rows = []
        for each in command_named(name).params:
            names = ", ".join(each.opts) if each.param_type_name == "option" else str(each.metavar or each.name)
            if names != "--help":
                rows.append([names, " ".join(str(getattr(each, "help", None) or "").split())])
        yield markdown([Table("options", ["option", "meaning"], rows)])
