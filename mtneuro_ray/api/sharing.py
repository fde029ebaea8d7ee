"""Shared models: from a folder of `mtneuro-ray export run`, or a repository of the Hugging Face hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mtneuro_ray.registry import imported


def load_model(address: str | os.PathLike[str]) -> Any:
    """A shared model: a plain `torch.nn.Module` on the CPU, in evaluation mode.

    Its attribute `scaling` says how grey values become inputs.

    Args:
        address: Folder of `mtneuro-ray export run`, or `hf://USER/NAME`, with `@REVISION` for one that is not the
            latest. The hub's client keeps what it downloads.

    Raises:
        InputError: there is no such folder or repository, or it holds no whole model.

    Example:
        `mtneuro_ray.load_model("hf://USER/NAME")(inputs)` gives logits of inputs (B, C, [Z,] Y, X).
    """
    text = os.fspath(address)
    folder = imported("mtneuro_ray.sharing.hub:download")(text) if text.startswith("hf://") else Path(text)
    return imported("mtneuro_ray.sharing.shared_folder:load_shared")(folder)
