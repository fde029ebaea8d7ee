"""The format of run files, checked when they are read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from mtneuro_ray.config.base import Name, shortened
from mtneuro_ray.config.owners import (
    ComputeSettings,
    DataSettings,
    EvaluationSettings,
    LossSettings,
    OptimizerSettings,
)
from mtneuro_ray.config.run import PROTOCOL_VERSION, Role
from mtneuro_ray.config.task import TaskSettings
from mtneuro_ray.errors import printable

Status = Literal["done", "stopped", "error"]

# A name in tables, figures and terminals: no control characters.
_Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$", max_length=1000)]
# An integer of 64 bits, as in the index.
_Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Number = float | None
# A number, a list with one per class, or a matrix with one per pair of classes.
_Plain = _Number | list[_Number | list[float]]
# Such a value, or a table of them by region.
_Metric = _Plain | dict[_Text, _Plain]


class _Open(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Table(_Open):
    name: _Text


class _Network(_Open):
    name: Name
    classes: _Whole
    seed: _Whole
    # Only their names are checked: the other keys may be those of a plugin that is not installed.
    model: _Table
    method: _Table
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings
    data: DataSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    compute: ComputeSettings = ComputeSettings()


class _Settings(_Open):
    task: TaskSettings
    network: _Network
    role: Role
    data: Annotated[list[_Text], Field(min_length=1)]
    weights: _Text | None = None
    encoder_run: _Settings | None = None
    protocol_version: Literal[PROTOCOL_VERSION] = PROTOCOL_VERSION  # type: ignore[valid-type]


class _Summary(_Open):
    model: Name
    task: Name
    role: Role
    seed: _Whole
    learning_rate: float
    batch_size: _Whole
    epochs: _Whole


class _Epoch(_Open):
    __pydantic_extra__: dict[str, _Number]
    epoch: _Whole


class _RunFile(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    run_id: Name
    status: Status
    summary: _Summary
    settings: _Settings
    metrics: dict[_Text, dict[_Text, _Metric | dict[_Text, dict[_Text, _Plain]]]] = {}
    history: list[_Epoch] = []
    class_counts: dict[_Text, dict[_Text, list[_Whole]]] = {}
    timings: dict[_Text, float] = {}
    placement: dict[_Text, Any] = {}
    versions: dict[_Text, _Text] = {}
    host: _Text = ""
    error: str | None = None
    notes: list[str] = []
    normalization: dict[_Text, Any] = {}


def parse_run_file(content: bytes, run_id: str) -> dict[str, Any]:
    """The keys and values of a run file, unchanged except that `error` and `notes` are made printable.

    Args:
        content: Content of the file.
        run_id: Name of the file without its suffix.

    Raises:
        ValueError: the file is damaged, in one line.
    """
    try:
        _RunFile.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(_mistake(error)) from None
    values: dict[str, Any] = from_json(content)
    summary, settings = values["summary"], values["settings"]
    if values["run_id"] != run_id:
        raise ValueError(f"holds run {values['run_id']!r}: is a copy, or was renamed")
    told = (summary["task"], summary["role"], summary["seed"])
    if told != (settings["task"]["name"], settings["role"], settings["network"]["seed"]):
        raise ValueError("its summary and its settings are of two runs")
    for split, metrics in values.get("metrics", {}).items():
        regions = metrics.get("regions", {})
        if not isinstance(regions, dict) or not all(isinstance(region, dict) for region in regions.values()):
            raise ValueError(f"metrics.{split}.regions: holds no metrics by region")
    if values.get("error") is not None:
        values["error"] = printable(values["error"])
    values["notes"] = [printable(note) for note in values.get("notes", [])]
    return values


def _mistake(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if key.endswith("protocol_version"):
        return f"is of protocol version {shortened(first['input'])}; this program reads {PROTOCOL_VERSION}"
    what = first["msg"].removeprefix("Input should be ")
    if not key:
        return f"is no run file ({what})"
    if first["type"] == "missing":
        return f"{key}: is missing"
    return f"{key}: is {shortened(first['input'])}; accepted: {what}"
