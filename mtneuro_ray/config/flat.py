"""Networks written flat, as the public benchmark's and the first edition's files are: where each key stands today."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mtneuro_ray.config.base import shortened
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

logger = logging.getLogger(__name__)

_TYPED = {"model": "models", "method": "methods"}
_NAMED = ("model", "method", "loss", "optimizer")
_OWNERS = ("model", "method", "loss", "optimizer", "data", "evaluation", "compute")
_TOP = ("name", "classes", "seed", *_OWNERS)
# Flat key -> path.
PATHS = {
    **{key: f"model.{key}" for key in ("in_channels", "dim", "n_blocks", "start_filters", "activation")},
    **{key: f"model.{key}" for key in ("normalization", "conv_mode", "encoder_name", "encoder_weights")},
    **{key: f"model.{key}" for key in ("dropout", "latent_dim", "components")},
    "class_weights": "loss.class_weights",
    **{key: f"optimizer.{key}" for key in ("learning_rate", "epochs", "beta1", "beta2", "weight_decay")},
    **{key: f"optimizer.{key}" for key in ("lr_schedule", "warmup_epochs")},
    "opt_momentum": "optimizer.momentum",
    **{key: f"data.{key}" for key in ("batch_size", "input_norm", "augmentations", "train_crops")},
    **{key: f"evaluation.{key}" for key in ("eval_crops", "keep", "average_decay")},
    **{key: f"compute.{key}" for key in ("precision", "compile")},
    **{key: f"method.{key}" for key in ("mixup_probability", "mixup_alpha")},
    "readout_norm": "method.probe_norm",
}
# Keys of the flat table `ssl` that have one accepted value, which is how these methods are defined.
CONSTANTS = {
    "optimizer": "sgd",
    "myow_layout": "cascaded",
    "lr_decay": "cosine",
    "mm_decay": "cosine",
    "miner": "knn",
    "miner_candidate_repr": "target",
    "miner_distance": "cosine",
    "knn_select": "random",
}


def is_flat(values: Mapping[str, Any]) -> bool:
    """Whether a network is written flat: keys of several owners side by side."""
    return any(key in PATHS or key == "ssl" for key in values)


def nested(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A flat network by owner.

    Keys of other models or methods than the file's own had no effect, and are left out with a warning.

    Raises:
        InputError: a key is unknown or stands twice, or the table `ssl` asks for another method than there is.
    """
    found: dict[str, Any] = {key: values[key] for key in ("name", "classes", "seed") if key in values}
    for owner in _OWNERS:
        if owner in values:
            table = values[owner]
            if not isinstance(table, Mapping | str) or (isinstance(table, str) and owner not in _NAMED):
                raise InputError(f"{where}: {owner}: is {shortened(table)}; accepted: a table")
            found[owner] = dict(table) if isinstance(table, Mapping) else {"name": table}
    found.setdefault("method", {"name": "supervised"})
    foreign: list[str] = []
    for key, value in values.items():
        if key in PATHS:
            owner, _, last = PATHS[key].partition(".")
            if owner in _TYPED and _is_foreign(last, owner, found.get(owner, {}), where):
                foreign.append(key)
            else:
                _add(found.setdefault(owner, {}), last, value, f"{where}: {key}: stands twice, as {PATHS[key]} too")
        elif key == "ssl":
            foreign += _add_method_keys(value, found["method"], where)
        elif key not in _TOP:
            raise InputError(f"{where}: {key}: unknown key; accepted: {', '.join(sorted({*PATHS, *_TOP, 'ssl'}))}")
    if foreign:
        logger.warning("%s: ignored, not used by its model and method: %s", where, ", ".join(foreign))
    return found


def _add(table: dict[str, Any], key: str, value: Any, mistake: str) -> None:
    if key in table:
        raise InputError(f"{mistake}; accepted: once")
    table[key] = value


def _add_method_keys(ssl: Any, method: dict[str, Any], where: str) -> list[str]:
    """Add the keys of the table `ssl` that the method has; give back those that belong to other methods."""
    if not isinstance(ssl, Mapping):
        raise InputError(f"{where}: ssl: is {shortened(ssl)}; accepted: a table")
    foreign = []
    for key, value in ssl.items():
        if key in CONSTANTS:
            if value != CONSTANTS[key]:
                raise InputError(f"{where}: ssl.{key}: is {shortened(value)}; accepted: {CONSTANTS[key]!r}")
        elif _is_foreign(key, "method", method, where):
            foreign.append(f"ssl.{key}")
        else:
            _add(method, key, value, f"{where}: ssl.{key}: stands twice, as method.{key} too")
    return foreign


def _is_foreign(key: str, owner: str, table: Mapping[str, Any], where: str) -> bool:
    """Whether a key belongs to another model or method of the package than the one that is named."""
    name = table.get("name")
    if not isinstance(name, str):
        return False
    known = registry(_TYPED[owner])
    if key in known.find(name, f"{where}: {owner}.name").settings.model_fields:
        return False
    return any(key in other.settings.model_fields for other in known.all().values())
