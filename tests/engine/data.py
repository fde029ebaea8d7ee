"""Splits small enough to train on in a blink, and runs over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from mtneuro_ray.config.run import Role, RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.models.dropout import GlobalDropout
from mtneuro_ray.models.encoders import ResNet18Settings
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from tests.settings import run_settings

Data = dict[Split, SplitArrays]


def arrays(count: int, seed: int, *, masks: bool, depth: int = 1, side: int = 16) -> SplitArrays:
    """Noise with brighter areas: the classes of voxels, and of images by how bright they are."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, (count, depth, side // 4, side // 4)).repeat(4, axis=2).repeat(4, axis=3)
    labels = random.integers(0, 3, count)
    brightness = 60 * (classes if masks else labels[:, None, None, None])
    images = np.clip(brightness + random.normal(60, 15, classes.shape), 0, 255).astype(np.uint8)
    return SplitArrays(
        images=images[:, None],
        masks=classes.astype(np.uint8) if masks else None,
        labels=labels.astype(np.int64),
        regions=np.arange(count) % 2,
        region_names=("A", "B"),
    )


def data_of(kind: str, counts: tuple[int, int, int] = (8, 5, 3), **shape: int) -> Data:
    splits: tuple[Split, ...] = ("train", "val", "test")
    masks = kind == "segmentation"
    return {
        split: arrays(count, seed, masks=masks, **shape)
        for seed, (split, count) in enumerate(zip(splits, counts, strict=True))
    }


def run_of(kind: str, role: Role = "final", *, task: dict[str, Any] | None = None, **network: Any) -> RunSettings:
    """Batches of 3: the last of 8 images holds two."""
    model: dict[str, Any] = {"model": "ResNet-18", "dropout": 0.5} if kind == "classification" else {}
    settings = {"batch_size": 3, "epochs": 3, "learning_rate": 0.01, **model, **network}
    return run_settings(task={"kind": kind, **(task or {})}, network=settings, role=role)


def small_classifier(settings: ResNet18Settings, classes: int) -> nn.Module:
    """Stands in for ResNet-18, with the same kinds of layers."""
    width = settings.latent_dim or 6
    return nn.Sequential(
        nn.Conv2d(settings.in_channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        GlobalDropout(settings.dropout),
        nn.Linear(4 * width, classes),
    )


def small_encoder_classifier(settings: ResNet18Settings, classes: int) -> nn.Module:
    """Stands in for ResNet-18 where its encoder is trained by itself."""
    encoder = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return EncoderClassifier(encoder, 6, classes, settings.dropout, settings.latent_dim)
