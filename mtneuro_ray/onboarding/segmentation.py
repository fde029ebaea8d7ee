"""The project of a segmentation: splits by labels, and a U-Net."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtneuro_ray.config.loading import load_task
from mtneuro_ray.config.task import SPLITS
from mtneuro_ray.data.sampling import count_samples
from mtneuro_ray.errors import InputError
from mtneuro_ray.machine import Machine
from mtneuro_ray.onboarding.facts import Facts, Wishes
from mtneuro_ray.onboarding.fingerprint import (
    ANISOTROPIC,
    ChosenTraining,
    TaskImages,
    dimensions,
    plan_images,
    plan_training,
    unused,
)
from mtneuro_ray.onboarding.pages import TASK, Project

LEARNING_RATES = (1e-3, 3e-4, 3e-3)
_SAMPLING = (
    "{} patches an epoch at random places of the training cubes: these are larger than an image, and hold more places "
    "than a grid has; val and test are predicted whole, by overlapping windows"
)


def segmentation(facts: Facts, wishes: Wishes, name: str, machine: Machine) -> Project:
    """The project of a segmentation; see `project.write_project`."""
    dim, why = dimensions(facts, machine, wishes)
    images = plan_images(facts, machine, dim)
    if images is None and dim == 3:
        dim, why = 2, "the volume has no room for three splits of 3D images"
        images = plan_images(facts, machine, dim)
    if images is None:
        shape = " x ".join(map(str, facts.image.domain.shape))
        raise InputError(
            f"--image: {facts.image.uri}: {shape} voxels have no room for train, val and test images of 8 x 8 pixels; "
            "accepted: a larger volume"
        )
    labels = label_keys(facts, wishes)
    classes = labels["classes"]
    training = plan_training(images, machine, facts.image.num_channels, len(classes))
    task = {
        "name": name,
        "task": wishes.task,
        "image_chan": facts.image.uri,
        "annotation_chan": facts.labels.uri,
        **({"mask_chan": facts.mask.uri} if facts.mask else {}),
        **labels,
        **_annotated(facts, dim),
        "tile_size": [*images.tile[1:]],
        **({"volume_z": images.tile[0]} if dim == 3 else {}),
        **_sampling(training),
        "cubes": images.cubes(),
    }
    batch = fitting_batch(task, training.batch)
    return Project(
        name=name,
        task=task,
        network=_network(facts, images, training, batch, len(classes)),
        axes={"learning_rate": [*LEARNING_RATES], "batch_size": sorted({batch, max(1, batch // 2)}, reverse=True)},
        resources={"cpus_per_worker": 1, "gpus_per_worker": 1.0 if machine.gpus else 0.0},
        reasons=_reasons(facts, machine, images, training, batch, why, classes),
        warnings=_warnings(facts, images, classes),
    )


def fitting_batch(task: dict[str, Any], wanted: int) -> int:
    """The batch, no larger than half of the training split in the smoke preset."""
    with tempfile.TemporaryDirectory() as draft:
        path = Path(draft) / TASK
        path.write_text(json.dumps(task), encoding="utf-8")
        scaled, _ = load_task(str(path), preset="smoke")
    return max(1, min(wanted, count_samples(scaled, "train") // 2))


def _sampling(training: ChosenTraining) -> dict[str, Any]:
    """Keys of the task that say where training images lie."""
    if training.patches is None:
        return {}
    return {"sampling": {"kind": "patches", "patches_per_epoch": training.patches}}


def _annotated(facts: Facts, dim: int) -> dict[str, Any]:
    """Keys of the task that say where the volume is annotated; single slices in 2D are cubes of their own."""
    if facts.slices is not None and dim == 3:
        return {"annotated": [{"z": z} for z in facts.slices]}
    if facts.boxes is not None:
        return {"annotated": [dict(zip("zyx", map(list, box.ranges), strict=True)) for box in facts.boxes]}
    return {}


def label_keys(facts: Facts, wishes: Wishes) -> dict[str, Any]:
    """Keys of the task that say which label is which class."""
    scan = facts.scan
    if scan is None:
        raise InputError(f"--labels: is missing; accepted: a volume of labels for a {wishes.task} task")
    names = _class_names(scan.labels, bool(scan.num_instances), wishes.classes)
    keys: dict[str, Any] = {"classes": names}
    if scan.num_instances:
        keys |= {"annotation_map": {"0": 0}, "unlisted_labels": names[1]}
    else:
        if scan.labels != tuple(range(len(names))):
            keys["annotation_map"] = {str(label): n for n, label in enumerate(scan.labels)}
        if not scan.is_whole:
            keys["unlisted_labels"] = "ignore"
    if scan.void:
        keys["ignore_labels"] = [*scan.void]
    return keys


def _class_names(labels: Sequence[int], is_instances: bool, given: Sequence[str]) -> list[str]:
    if given and len(given) != len(labels):
        found = "0 and instance ids" if is_instances else ", ".join(map(str, labels))
        raise InputError(
            f"--classes: {len(given)} names, the labels are {found}; accepted: {len(labels)} names, in that order"
        )
    first = "background" if labels[0] == 0 else f"label_{labels[0]}"
    others = ["object"] if is_instances else [f"label_{label}" for label in labels[1:]]
    return [*given] or [first, *others]


def _network(facts: Facts, images: TaskImages, training: ChosenTraining, batch: int, classes: int) -> dict[str, Any]:
    return {
        "name": f"UNet_{images.dim}D_{classes}class",
        "classes": classes,
        "model": {
            "name": "UNet",
            "dim": images.dim,
            "n_blocks": training.blocks,
            "start_filters": training.filters,
        },
        "loss": {"name": "cross_entropy+dice"},
        "optimizer": {
            "name": "Adam",
            "learning_rate": LEARNING_RATES[0],
            "epochs": training.epochs,
            "lr_schedule": "cosine",
        },
        "data": {"batch_size": batch, "augmentations": True, **grey_values(facts)[0]},
    }


def grey_values(facts: Facts) -> tuple[dict[str, Any], str]:
    """Keys of the network that scale grey values, and why."""
    keys: dict[str, Any] = {}
    if facts.dtype == np.uint8:
        reason = "unit: bytes have a range of their own"
    else:
        keys["normalization"] = "percentile"
        reason = f"percentile of the training split: the range of {facts.dtype} says nothing about the image's"
    if any(look.share_not_finite for look in facts.looks):
        keys["nonfinite"] = min(min(look.percentiles.values(), default=0.0) for look in facts.looks)
        reason += f"; NaN and infinity become {keys['nonfinite']:g}, a low grey value"
    return keys, reason


def _reasons(
    facts: Facts,
    machine: Machine,
    images: TaskImages,
    training: ChosenTraining,
    batch: int,
    why_dim: str,
    classes: list[str],
) -> dict[str, str]:
    shown = training.patches or images.count("train")
    return {
        **about_image(facts, machine),
        "classes": f"{', '.join(classes)} ({labels_found(facts)})",
        "texture": f"grey values resemble each other over {', '.join(map(str, facts.texture))} voxels (z, y, x; "
        "autocorrelation above 1/e)",
        "splits": splits(facts, images),
        "dimensions": f"{images.dim}D: {why_dim}",
        "image": f"{' x '.join(map(str, images.tile))} voxels (z, y, x): the largest with room for three splits and "
        "enough images",
        **({} if training.patches is None else {"sampling": _SAMPLING.format(training.patches)}),
        "model": f"U-Net of {training.blocks} resolutions, {training.filters} channels at the first: "
        + ("the usual size" if machine.gpus else "half the usual channels, for CPUs"),
        "batch": f"{batch} images; a step takes about {training.step_bytes / 2**20:.0f} MiB (estimated)",
        "epochs": f"{training.epochs}: about {training.epochs * shown // batch} steps",
        "loss": "cross-entropy and Dice together, so that small classes count",
    }


def about_image(facts: Facts, machine: Machine) -> dict[str, str]:
    """Machine and image as the reasons say them."""
    channels = facts.image.num_channels
    return {
        "machine": str(machine),
        "voxels": f"{facts.dtype}, {channels} channel{'s' * (channels > 1)}",
        "grey values": grey_values(facts)[1],
        "voxel size": voxel_size(facts),
    }


def voxel_size(facts: Facts) -> str:
    """The voxel size as the reasons say it."""
    if not facts.voxel_size_um:
        return "not in the metadata; ?voxel_size=Z,Y,X in the address says it"
    size = " x ".join(f"{each:g}" for each in facts.voxel_size_um)
    text = f"{size} um (z, y, x), from the metadata; trained at this resolution, without resampling"
    if facts.anisotropy < ANISOTROPIC:
        return text
    return f"{text} (target_voxel_size_um in task.json resamples; its cubes are then in voxels of that size)"


def labels_found(facts: Facts) -> str:
    """The labels as the reasons say them."""
    if facts.scan is None:
        return "by the boxes"
    if facts.scan.num_instances:
        return f"{facts.scan.num_instances} labels or instance ids as one class"
    return f"labels {', '.join(map(str, facts.scan.labels))}"


def splits(facts: Facts, images: TaskImages) -> str:
    """The division as the reasons say it."""
    plan = images.plan
    axis, parts = "zyx"[plan.axis], ", ".join(f"{split} {images.count(split)}" for split in SPLITS)
    if images.slices is not None and plan.axis == 0:
        gap = (
            f"{plan.gap} annotated slices between them"
            if plan.gap
            else "where annotated slices lie further apart than the texture's length"
        )
    else:
        gap = f"{plan.gap} voxels between them"
        gap += ", twice the texture's length" if plan.gap == facts.texture[plan.axis].gap else ""
    return f"along {axis}, {gap}; images: {parts}"


def _warnings(facts: Facts, images: TaskImages, classes: list[str]) -> list[str]:
    warnings = []
    scan, plan = facts.scan, images.plan
    for split, number in plan.missing():
        where = "" if scan is None or scan.is_whole else " among those that were read"
        warnings.append(
            f"{split} has no voxel of class {classes[number]}{where}: no division along an axis gives it one"
        )
    gap = facts.texture[plan.axis].gap
    if images.slices is None and plan.gap < gap:
        warnings.append(f"the gap of {plan.gap} voxels is less than twice the texture's length ({gap}): no room")
    if any(each.is_bound for each in facts.texture):
        warnings.append("along an axis the texture has no end within the distance that was measured")
    if (share := unused(facts, images)) > 0.3:
        warnings.append(
            f"the splits hold {100 * (1 - share):.2g} % of the voxels: gaps, remainders and places without labels are "
            "left out, and more than this machine has memory or steps for"
        )
    if scan is not None and not scan.is_whole:
        warnings.append("labels were read in a sample; labels that it lacks are ignored (unlisted_labels)")
    if scan is not None and scan.void:
        warnings.append(f'label {", ".join(map(str, scan.void))} is taken for "not annotated" (ignore_labels)')
    if facts.slices is not None:
        warnings.append(
            f"only {len(facts.slices)} slices have labels, and they alone are used; --dense takes all slices"
        )
    if facts.boxes is not None:
        warnings.append(
            f"labels lie in {len(facts.boxes)} boxes and end at their faces, so nothing outside of them counts "
            "(annotated); --dense takes everything"
        )
    return warnings
