"""Networks written flat, as the public benchmark's and the first edition's files are: where each key stands today."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mtneuro_ray.config.base import shortened
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

logger = logging.getLogger(__name__)

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
        InputError: a key is unknown, or the table `ssl` asks for another method than there is.
    """
    found: dict[str, Any] = {key: values[key] for key in ("name", "classes", "seed") if key in values}
    for owner in ("model", "method", "loss", "optimizer"):
        if owner in values:
            table = values[owner]
            found[owner] = dict(table) if isinstance(table, Mapping) else {"name": table}
    found.setdefault("method", {"name": "supervised"})
    for key, value in values.items():
        if key in PATHS:
            owner, _, last = PATHS[key].partition(".")
            found.setdefault(owner, {})[last] = value
        elif key == "ssl" and isinstance(value, Mapping):
            found["method"] |= _method_keys(value, where)
        elif key not in _TOP:
            raise InputError(f"{where}: {key}: unknown key; accepted: {', '.join(sorted({*PATHS, *_TOP, 'ssl'}))}")
        elif key in ("data", "evaluation", "compute"):
            found.setdefault(key, {}).update(value)
    _drop_foreign(found, where)
    return found


def _method_keys(ssl: Mapping[str, Any], where: str) -> dict[str, Any]:
    for key, accepted in CONSTANTS.items():
        if key in ssl and ssl[key] != accepted:
            raise InputError(f"{where}: ssl.{key}: is {shortened(ssl[key])}; accepted: {accepted!r}")
    return {key: value for key, value in ssl.items() if key not in CONSTANTS}


def _drop_foreign(found: dict[str, Any], where: str) -> None:
    """Leave out keys of `model` and `method` that belong to another one of the package's."""
    for owner, kind in (("model", "models"), ("method", "methods")):
        table = found.get(owner, {})
        if not isinstance(table.get("name"), str):
            continue
        known = registry(kind)
        own = known.find(table["name"], f"{where}: {owner}").settings.model_fields
        others = {key for name in known.names() for key in known.find(name).settings.model_fields}
        foreign = [key for key in table if key not in own and key in others]
        for key in foreign:
            del table[key]
        if foreign:
            logger.warning("%s: ignored, not used by %s: %s", where, table["name"], ", ".join(foreign))
