"""The public benchmark's JSON, normalised once into native settings.

The public files place four regions by suffixed keys and give z splits that its code reads half-open
(PROTOCOL, Data); here they become a list of cubes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtneuro_ray.config.base import shortened
from mtneuro_ray.config.flat import CONSTANTS, PATHS
from mtneuro_ray.config.task import REGIONS, ROI_LABEL_TO_REGION
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

# Upstream's key suffix of each region, in the order of REGIONS.
_SUFFIXES = ("cor", "stri", "vp", "zi")
_SPLIT_KEYS = {"train": "z_train", "val": "z_val", "test": "z_test"}
_TASK_REQUIRED = (
    "name",
    "image_chan",
    "annotation_chan",
    "tile_size",
    *_SPLIT_KEYS.values(),
    *(f"{axis}range_{suffix}" for suffix in _SUFFIXES for axis in "xy"),
)
_TASK_OPTIONAL = ("volume_z", "combine_ax_and_bg", "noZI")
TASK_UNUSED = ("zrange", "task_type")

NETWORK_UNUSED = (
    "outputdir",
    "outweightfilename",
    "eval_threshold",
    "eval_reduction",
    "lr_poly_decay_n",
    "lr_gamma",
    "lr_milestone",
)
# The public files name an encoder for models without one, too.
_ENCODER_KEYS = ("encoder_name", "encoder_weights")
# Keys that today's table `ssl` shares with the top of the public files.
_SSL_RENAMED = {"ssl_optimizer": "optimizer", "ssl_epochs": "epochs"}


def is_upstream_task(values: Mapping[str, Any]) -> bool:
    """Whether a task file is in the public format."""
    return "cubes" not in values and any(key.endswith(f"_{_SUFFIXES[0]}") for key in values)


def normalise_task(values: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """A public task file in the native format, and its keys that have no use here.

    Raises:
        InputError: a key is missing or unknown.
    """
    accepted = (*_TASK_REQUIRED, *_TASK_OPTIONAL, *TASK_UNUSED)
    for key in values:
        if key not in accepted:
            raise InputError(f"{where}: {key}: unknown key; accepted: {', '.join(sorted(accepted))}")
    for key in _TASK_REQUIRED:
        if key not in values:
            raise InputError(f"{where}: {key}: is missing; this key is required")
    flags = {key: _flag(values, key, where) for key in ("combine_ax_and_bg", "noZI")}
    kind = _kind_of(str(values["name"]), str(values["annotation_chan"]))
    regions = REGIONS[:3] if flags["noZI"] else REGIONS
    native: dict[str, Any] = {
        "name": values["name"],
        "task": kind,
        "image_chan": values["image_chan"],
        "annotation_chan": values["annotation_chan"],
        "tile_size": values["tile_size"],
        "volume_z": values.get("volume_z", 1),
        "cubes": _cubes(values, regions, kind, where),
        **_classes(kind, flags["combine_ax_and_bg"]),
    }
    return native, [key for key in TASK_UNUSED if key in values]


def _kind_of(name: str, annotation_chan: str) -> str:
    if annotation_chan.rstrip("/").endswith("roi_labels"):
        return "classification"
    return "readout" if name.startswith("task3") else "segmentation"


def _classes(kind: str, combine_axons: bool) -> dict[str, Any]:
    if kind == "classification":
        return {"classes": list(REGIONS), "annotation_map": ROI_LABEL_TO_REGION}
    if combine_axons:
        return {"classes": ["bg+axons", "vessels", "cells"], "annotation_map": {0: 0, 1: 1, 2: 2, 3: 0}}
    return {"classes": ["bg", "vessels", "cells", "axons"]}


def _cubes(values: Mapping[str, Any], regions: tuple[str, ...], kind: str, where: str) -> list[dict[str, Any]]:
    splits = {split: _range(values, key, where) for split, key in _SPLIT_KEYS.items()}
    if kind == "readout":
        # Task 3 reads every annotated slice; the test slices are those of Task 1 (PROTOCOL, Task 3).
        splits = {"train": [splits["train"][0], splits["test"][0]], "test": splits["test"]}
    return [
        {
            "region": region,
            "label": label,
            "split": split,
            "z": z,
            "y": _range(values, f"yrange_{_SUFFIXES[label]}", where),
            "x": _range(values, f"xrange_{_SUFFIXES[label]}", where),
        }
        for split, z in splits.items()
        for label, region in enumerate(regions)
    ]


def _range(values: Mapping[str, Any], key: str, where: str) -> list[int]:
    value = values[key]
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(bound) is int for bound in value)
        or not 0 <= value[0] < value[1]
    ):
        raise InputError(f"{where}: {key}: is {shortened(value)}; accepted: two integers, half-open, 0 <= start < stop")
    return value


def _flag(values: Mapping[str, Any], key: str, where: str) -> bool:
    value = values.get(key, 0)
    if value not in (0, 1):
        raise InputError(f"{where}: {key}: is {shortened(value)}; accepted: 0 or 1")
    return bool(value)


def is_upstream_network(values: Mapping[str, Any]) -> bool:
    """Whether a network file is in the public format."""
    return any(key in values for key in ("outputdir", "outweightfilename", "task_type"))


def normalise_network(values: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """A public network file in the native format, and its keys that have no use here.

    Raises:
        InputError: a flag or the kind of training is unknown; other keys are checked by the settings class.
    """
    without_use = {*NETWORK_UNUSED, *(() if _is_pretrained(values) else _ENCODER_KEYS)}
    unused = [key for key in values if key in without_use]
    native = {key: value for key, value in values.items() if key not in without_use}
    if "augmentations" in native:
        native["augmentations"] = _flag(native, "augmentations", where)
    kind = native.pop("task_type", "supervised")
    if kind not in ("supervised", "SSL"):
        raise InputError(f"{where}: task_type: is {shortened(kind)}; accepted: 'supervised', 'SSL'")
    methods = registry("methods").all().values()
    known = {key for method in methods for key in method.settings.model_fields} - {"name", *PATHS}
    ssl = {key: native.pop(key) for key in [*native] if key in known | CONSTANTS.keys() - {"optimizer"}}
    ssl |= {name: native.pop(key) for key, name in _SSL_RENAMED.items() if key in native}
    if kind == "SSL":
        if "method" not in native:
            raise InputError(f"{where}: method: is missing; this key is required with task_type 'SSL'")
        native["ssl"] = ssl
    elif ssl:
        raise InputError(
            f"{where}: {next(iter(ssl))}: belongs to task_type 'SSL', not 'supervised'; accepted: leave it out"
        )
    return native, unused


def _is_pretrained(values: Mapping[str, Any]) -> bool:
    models, name = registry("models"), values.get("model")
    return isinstance(name, str) and name in models.names() and bool(models.find(name).is_pretrained)
