"""A project, and its files as text."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TASK, NETWORK, SPACE, README = "task.json", "network.json", "space.toml", "README.md"
ENCODER = "encoder.json"
_SEEDS = (1, 100, 350)


@dataclass(frozen=True)
class Project:
    """The files of a project, and why they are as they are.

    Attributes:
        name: Name of the task and of the sweep.
        task: Contents of the task file.
        network: Contents of the network file.
        axes: Values of each searched key.
        resources: Keys under [run] of the tune space.
        reasons: Choice -> its value and reason, in the order of a page.
        warnings: What the data do not allow, or what was assumed.
        encoder: For a readout, contents of the file of the task that trains the encoder.
    """

    name: str
    task: dict[str, Any]
    network: dict[str, Any]
    axes: dict[str, list[Any]]
    resources: dict[str, Any]
    reasons: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    encoder: dict[str, Any] | None = None

    def files(self, folder: str) -> dict[str, str]:
        """Name -> contents of every file; `folder` is where they will lie, for the commands of the README."""
        return {
            **({ENCODER: task_file(self.encoder)} if self.encoder else {}),
            TASK: task_file(self.task),
            NETWORK: json.dumps(self.network, indent=1) + "\n",
            SPACE: space_file(self.name, TASK, NETWORK, _SEEDS, self.axes, self.resources, self.reasons),
            README: readme(self, folder),
        }


def space_file(
    name: str,
    task: str,
    network: str,
    seeds: Sequence[int],
    axes: Mapping[str, Sequence[Any]],
    resources: Mapping[str, Any],
    reasons: Mapping[str, str],
) -> str:
    """The tune space as TOML, with the reasons as comments."""
    comments = [f"{what}: {why}" for what, why in reasons.items()]
    lines = [line for each in comments for line in textwrap.wrap(each, 116, subsequent_indent="    ")]
    return "\n".join(
        [
            *(f"# {line}" for line in lines),
            f"name = {json.dumps(name)}",
            f"task = {json.dumps(task)}",
            f"network = {json.dumps(network)}",
            f"seeds = {[*seeds]}",
            *(["", "[search]", 'sampler = "grid"'] if axes else []),
            *(f"axes.{key} = {json.dumps([*values])}" for key, values in axes.items()),
            "",
            "[run]",
            *(f"{key} = {json.dumps(value)}" for key, value in resources.items()),
            "",
        ]
    )


def task_file(task: Mapping[str, Any]) -> str:
    """The task as JSON, a line for each key and each cube."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in task.items() if key != "cubes"]
    cubes = ",\n".join(f"    {json.dumps(cube)}" for cube in task["cubes"])
    return "{\n" + ",\n".join([*lines, f'  "cubes": [\n{cubes}\n  ]']) + "\n}\n"


def next_commands(project: Project, folder: str) -> list[str]:
    """The next two commands: a sweep in the smoke preset, and the prediction of the whole volume, or a table."""
    space, out = shlex.quote(f"{folder}/{SPACE}"), shlex.quote(f"{folder}/smoke")
    sweep = f"mtneuro-ray sweep --space {space} --preset smoke --out {out}"
    if project.task["task"] != "segmentation":
        return [sweep, f"mtneuro-ray results table --out {out}"]
    image, target = shlex.quote(project.task["image_chan"]), shlex.quote(f"zarr://{folder}/prediction.zarr")
    return [sweep, f"mtneuro-ray predict --out {out} --best --volume {image} --to {target}"]


def readme(project: Project, folder: str) -> str:
    """The page that says how to go on, and why the files are as they are."""
    first, second = next_commands(project, folder)
    space, out = shlex.quote(f"{folder}/{SPACE}"), shlex.quote(f"{folder}/out")
    sections = [
        f"# {project.name}",
        "A first look, on small images and for two epochs, and what comes of it:",
        f"    {first}\n    {second}",
        "The whole search, then the results:",
        f"    mtneuro-ray sweep --space {space} --out {out}\n    mtneuro-ray results table --out {out}",
        "`task.json` holds the boxes, `network.json` the model and its training, `space.toml` the search. Change them "
        "as you like: a run is named by its settings, so runs of other settings stay.",
        "## Why the files are as they are",
        "\n".join(f"- **{what}**: {why}" for what, why in project.reasons.items()),
    ]
    if project.warnings:
        sections += ["## What to know", "\n".join(f"- {each}" for each in project.warnings)]
    return "\n\n".join(sections) + "\n"
