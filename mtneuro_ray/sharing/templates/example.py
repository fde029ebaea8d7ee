"""Predict with this model in plain torch: `python example.py [IMAGE.npy]`.

Needs torch, numpy and safetensors. IMAGE.npy holds grey values, (B, C, [Z,] Y, X) of the type and size that
normalization.json names; without it, the example predicts test_images.npy and compares the logits with those of the
training program.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
ABOUT = json.loads((HERE / "normalization.json").read_text())


def load_model() -> torch.nn.Module:
    """The model in evaluation mode: inputs (B, C, [Z,] Y, X) float32 -> logits (B, classes, ...)."""
    model = torch.export.load(HERE / "program.pt2").module()
    model.load_state_dict(load_file(HERE / "model.safetensors"), assign=True)
    return model


def inputs_of(images: np.ndarray) -> torch.Tensor:
    """Grey values (B, C, [Z,] Y, X), an array -> inputs of the model, float32."""
    scaling = ABOUT["scaling"]
    if images.dtype.name != scaling["dtype"] or images.shape[1] != len(scaling["factor"]):
        raise SystemExit(f"images are {images.dtype} {images.shape}; accepted: {scaling['dtype']} {ABOUT['axes']}")
    per_channel = (1, -1) + (1,) * (images.ndim - 2)
    # As in training: float32, but float64 for types with more digits.
    dtype = "float64" if scaling["dtype"] in ("uint32", "int32", "float64") else "float32"
    values: Any = images.astype(dtype)
    if scaling["fill"] is not None:
        values[~np.isfinite(values)] = scaling["fill"]
    shift = np.array(scaling["shift"], dtype).reshape(per_channel)
    values = (values - shift) * np.array(scaling["factor"], dtype).reshape(per_channel)
    if scaling["clips"]:
        values = values.clip(0, 1)
    values = values.astype(np.float32)
    if scaling["least_deviation"] is not None:
        axes = tuple(range(2, values.ndim))
        least = np.array(scaling["least_deviation"], np.float32).reshape(per_channel)
        deviation = np.maximum(values.std(axes, keepdims=True), least)
        values = (values - values.mean(axes, keepdims=True)) / deviation
    return torch.from_numpy(values)


def main() -> None:
    """Print the classes of an image, or the largest difference from the expected logits."""
    model = load_model()
    file = sys.argv[1] if len(sys.argv) > 1 else HERE / "test_images.npy"
    with torch.inference_mode():
        logits = model(inputs_of(np.load(file)))
    classes = logits.argmax(1)
    for number, name in enumerate(ABOUT["classes"]):
        print(f"{name}: {(classes == number).sum().item()} of {classes.numel()}")
    if len(sys.argv) == 1:
        expected = torch.from_numpy(np.load(HERE / "test_logits.npy"))
        print(f"largest difference from the expected logits: {(logits - expected).abs().max().item():.1e}")


if __name__ == "__main__":
    main()
