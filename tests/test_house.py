"""What keeps the package readable: one class for a name, files of at most 300 lines, functions of at most 60."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import mtneuro_ray

PACKAGE = Path(mtneuro_ray.__file__).parent
TREES = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def test_no_two_classes_have_one_name() -> None:
    names = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, number in names.items() if number > 1] == []


def test_files_and_functions_are_short() -> None:
    long_files = [path for path in TREES if len((PACKAGE / path).read_text().splitlines()) > 300]
    functions = [
        (path, node.name)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert (long_files, functions) == ([], [])
