"""Task and network files of the public benchmark, and flat network files, normalised once into native settings.

The public task files place four regions by suffixed keys and give z splits that the benchmark's code reads half-open
(PROTOCOL, Data); here they become a list of cubes. A flat network file has the keys of all tables side by side.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mtneuro_ray.config.base import shortened
from mtneuro_ray.config.task import REGIONS, ROI_LABEL_TO_REGION
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

logger = logging.getLogger(__name__)

# Tables whose `name` selects their settings type: table -> kind of declaration.
TYPED = {"model": "models", "method": "methods"}
# Tables that may be written as a string, their `name`.
NAMED = (*TYPED, "loss", "optimizer")
_TABLES = (*NAMED, "data", "evaluation", "compute")
_SCALARS = ("name", "classes", "seed")
_FLAT = {
    "model": (
        *("in_channels", "dim", "n_blocks", "start_filters", "activation", "normalization", "conv_mode"),
        *("encoder_name", "encoder_weights", "dropout", "latent_dim", "components"),
    ),
    "method": ("mixup_probability", "mixup_alpha"),
    "loss": ("class_weights",),
    "optimizer": ("learning_rate", "epochs", "beta1", "beta2", "weight_decay", "lr_schedule", "warmup_epochs"),
    "data": ("batch_size", "input_norm", "augmentations", "train_crops"),
    "evaluation": ("eval_crops", "keep", "average_decay"),
    "compute": ("precision", "compile"),
}
PATHS = {
    **{key: f"{table}.{key}" for table, keys in _FLAT.items() for key in keys},
    "opt_momentum": "optimizer.momentum",
    "readout_norm": "method.probe_norm",
}
"""Path of each key of a flat network."""
# Keys of the flat table `ssl` whose one accepted value is part of the methods' definition.
_CONSTANTS = {
    "optimizer": "sgd",
    "myow_layout": "cascaded",
    "lr_decay": "cosine",
    "mm_decay": "cosine",
    "miner": "knn",
    "miner_candidate_repr": "target",
    "miner_distance": "cosine",
    "knn_select": "random",
}

# Suffix of each region's keys in the public files, in the order of REGIONS.
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
_TASK_UNUSED = ("zrange", "task_type")

_NETWORK_UNUSED = (
    "outputdir",
    "outweightfilename",
    "eval_threshold",
    "eval_reduction",
    "lr_poly_decay_n",
    "lr_gamma",
    "lr_milestone",
)
# The public files name an encoder for models without one as well.
_ENCODER_KEYS = ("encoder_name", "encoder_weights")
# Public key -> key of the table `ssl`, where the top of the file has another key of that name.
_SSL_RENAMED = {"ssl_optimizer": "optimizer", "ssl_epochs": "epochs"}


def native_task(values: dict[str, Any], where: str) -> dict[str, Any]:
    """A task file in the native format; unused keys of a public file are logged.

    Raises:
        InputError: a public file lacks a key, or has an unknown one.
    """
    if "cubes" in values or not any(key.endswith(f"_{_SUFFIXES[0]}") for key in values):
        return values
    accepted = (*_TASK_REQUIRED, *_TASK_OPTIONAL, *_TASK_UNUSED)
    for key in values:
        if key not in accepted:
            raise InputError(f"{where}: {key}: unknown key; accepted: {', '.join(sorted(accepted))}")
    for key in _TASK_REQUIRED:
        if key not in values:
            raise InputError(f"{where}: {key}: is missing; this key is required")
    flags = {key: _flag(values, key, where) for key in ("combine_ax_and_bg", "noZI")}
    kind = _kind_of(str(values["name"]), str(values["annotation_chan"]))
    regions = REGIONS[:3] if flags["noZI"] else REGIONS
    _warn_unused([key for key in _TASK_UNUSED if key in values], where)
    return {
        "name": values["name"],
        "task": kind,
        "image_chan": values["image_chan"],
        "annotation_chan": values["annotation_chan"],
        "tile_size": values["tile_size"],
        "volume_z": values.get("volume_z", 1),
        "absent": "one",
        "cubes": _cubes(values, regions, kind, where),
        **_classes(kind, flags["combine_ax_and_bg"]),
    }


def _warn_unused(keys: list[str], where: str) -> None:
    if keys:
        logger.warning("%s: ignored, without use here: %s", where, ", ".join(keys))


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
        # Task 3 reads every annotated slice; the test slices are those of Task 1 (PROTOCOL, Task 3). Those between val,
        # whose end counts here, and test are in no fit that is scored on the test slices (paper, section 3.3.1).
        (first, end), (_, last), test = splits.values()
        gap = min(max(end, last + 1), test[0])
        splits = {"train": [first, gap], **({"val": [gap, test[0]]} if gap < test[0] else {}), "test": test}
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


def native_network(values: dict[str, Any], where: str) -> dict[str, Any]:
    """A network file, flat where it was public; unused keys of a public file are logged.

    Raises:
        InputError: a public file has an unknown flag or kind of training. `NetworkSettings` checks the other keys.
    """
    if not any(key in values for key in ("outputdir", "outweightfilename", "task_type")):
        return values
    models, name = registry("models"), values.get("model")
    is_pretrained = isinstance(name, str) and name in models.names() and models.find(name).is_pretrained
    without_use = _NETWORK_UNUSED if is_pretrained else (*_NETWORK_UNUSED, *_ENCODER_KEYS)
    flat = {key: value for key, value in values.items() if key not in without_use}
    if "augmentations" in flat:
        flat["augmentations"] = _flag(flat, "augmentations", where)
    kind = flat.pop("task_type", "supervised")
    if kind not in ("supervised", "SSL"):
        raise InputError(f"{where}: task_type: is {shortened(kind)}; accepted: 'supervised', 'SSL'")
    methods = registry("methods").all().values()
    known = {key for method in methods for key in method.settings.model_fields} - {"name", *PATHS}
    ssl = {key: flat.pop(key) for key in [*flat] if key in known | _CONSTANTS.keys() - {"optimizer"}}
    ssl |= {name: flat.pop(key) for key, name in _SSL_RENAMED.items() if key in flat}
    if kind == "SSL":
        if "method" not in flat:
            raise InputError(f"{where}: method: is missing; this key is required with task_type 'SSL'")
        flat["ssl"] = ssl
    elif ssl:
        raise InputError(
            f"{where}: {next(iter(ssl))}: belongs to task_type 'SSL', not 'supervised'; accepted: leave it out"
        )
    _warn_unused([key for key in values if key in without_use], where)
    return flat


def is_flat(values: Mapping[str, Any]) -> bool:
    """Whether a network file has keys of its tables at its top."""
    return any(key in PATHS or key == "ssl" for key in values)


def nested(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A flat network as nested tables.

    Keys of other models or methods than the network's own are left out and logged: they never had an effect.

    Raises:
        InputError: a key is unknown or stands twice, or the table `ssl` asks for a method that does not exist.
    """
    found: dict[str, Any] = {key: values[key] for key in _SCALARS if key in values}
    for owner in _TABLES:
        if owner in values:
            table = values[owner]
            if not isinstance(table, Mapping | str) or (isinstance(table, str) and owner not in NAMED):
                raise InputError(f"{where}: {owner}: is {shortened(table)}; accepted: a table")
            found[owner] = dict(table) if isinstance(table, Mapping) else {"name": table}
    found.setdefault("method", {"name": "supervised"})
    foreign = []
    for key, path, value in _placements(values, where):
        owner, _, last = path.partition(".")
        table = found.setdefault(owner, {})
        if owner in TYPED and _is_foreign(last, owner, table.get("name"), where):
            foreign.append(key)
        elif last in table:
            raise InputError(f"{where}: {key}: stands twice, as {path} too; accepted: once")
        else:
            table[last] = value
    if foreign:
        logger.warning("%s: ignored, not used by its model and method: %s", where, ", ".join(foreign))
    return found


def _placements(values: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, Any]]:
    """Key, path and value of every flat key, those of the table `ssl` included."""
    for key, value in values.items():
        if key in PATHS:
            yield key, PATHS[key], value
        elif key == "ssl":
            if not isinstance(value, Mapping):
                raise InputError(f"{where}: ssl: is {shortened(value)}; accepted: a table")
            for name, inner in value.items():
                if name not in _CONSTANTS:
                    yield f"ssl.{name}", f"method.{name}", inner
                elif inner != _CONSTANTS[name]:
                    raise InputError(f"{where}: ssl.{name}: is {shortened(inner)}; accepted: {_CONSTANTS[name]!r}")
        elif key not in (*_SCALARS, *_TABLES):
            accepted = ", ".join(sorted({*PATHS, *_SCALARS, *_TABLES, "ssl"}))
            raise InputError(f"{where}: {key}: unknown key; accepted: {accepted}")


def _is_foreign(key: str, owner: str, name: Any, where: str) -> bool:
    """Whether a key belongs to another model or method than the one of this name."""
    if not isinstance(name, str):
        return False
    known = registry(TYPED[owner])
    if key in known.find(name, f"{where}: {owner}.name").settings.model_fields:
        return False
    return any(key in other.settings.model_fields for other in known.all().values())
