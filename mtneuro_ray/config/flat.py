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
    foreign: list[str] = []
    for key, value in values.items():
        if key in PATHS:
            owner, _, last = PATHS[key].partition(".")
            if owner in _TYPED and _is_foreign(last, owner, found.get(owner, {}), where):
                foreign.append(key)
            else:
                found.setdefault(owner, {})[last] = value
        elif key == "ssl" and isinstance(value, Mapping):
            own, unused = _method_keys(value, found["method"], where)
            found["method"] |= own
            foreign += unused
        elif key not in _TOP:
            raise InputError(f"{where}: {key}: unknown key; accepted: {', '.join(sorted({*PATHS, *_TOP, 'ssl'}))}")
        elif key in ("data", "evaluation", "compute"):
            found.setdefault(key, {}).update(value)
    if foreign:
        logger.warning("%s: ignored, not used by its model and method: %s", where, ", ".join(foreign))
    return found


def _method_keys(ssl: Mapping[str, Any], method: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """Keys of the table `ssl` that the method has, and those that belong to other methods."""
    for key, accepted in CONSTANTS.items():
        if key in ssl and ssl[key] != accepted:
            raise InputError(f"{where}: ssl.{key}: is {shortened(ssl[key])}; accepted: {accepted!r}")
    foreign = [key for key in ssl if key not in CONSTANTS and _is_foreign(key, "method", method, where)]
    own = {key: value for key, value in ssl.items() if key not in CONSTANTS and key not in foreign}
    return own, [f"ssl.{key}" for key in foreign]


def _is_foreign(key: str, owner: str, table: Mapping[str, Any], where: str) -> bool:
    """Whether a key belongs to another model or method of the package than the one that is named."""
    name = table.get("name")
    if not isinstance(name, str):
        return False
    known = registry(_TYPED[owner])
    if key in known.find(name, f"{where}: {owner}.name").settings.model_fields:
        return False
    return any(key in known.find(other).settings.model_fields for other in known.names())
