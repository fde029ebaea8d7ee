"""The project of a readout: an encoder that learns without labels, and attributes of cells, vessels and axons on it."""

from __future__ import annotations

from typing import Any

from mtneuro_ray.data.attributes import KINDS
from mtneuro_ray.errors import InputError
from mtneuro_ray.machine import Machine
from mtneuro_ray.onboarding.facts import Facts, Wishes
from mtneuro_ray.onboarding.fingerprint import TaskImages, plan_images
from mtneuro_ray.onboarding.pages import ENCODER, Project
from mtneuro_ray.onboarding.segmentation import fitting_batch, grey_values, label_keys, labels_found, splits, voxel_size

_MOST_PLACES = 4
_LEAST_SIDE = 16


def readout(facts: Facts, wishes: Wishes, name: str, machine: Machine) -> Project:
    """The project of a readout; see `project.write_project`.

    Raises:
        InputError: the classes lack one that attributes are measured on, or the volume is too small.
    """
    labels = label_keys(facts, wishes)
    classes = labels["classes"]
    if lacking := [kind for kind in KINDS if kind not in classes]:
        raise InputError(
            f"--classes: {', '.join(lacking)} is missing in {', '.join(classes)}; accepted: in a readout names of the "
            f"labels, with {', '.join(KINDS)} among them"
        )
    images = plan_images(facts, machine, 2)
    if images is None:
        raise InputError(f"--image: {facts.image.uri}: too small for a readout; accepted: a larger volume")
    side, places = _divided(images, facts.image.uri)
    shared = {"image_chan": facts.image.uri, "tile_size": side}
    encoder = {
        "name": f"{name}_encoder",
        "task": "classification",
        **shared,
        "classes": [f"place_{n}" for n in range(len(places))],
        "cubes": [{**cube, "label": n} for n, cubes in enumerate(places) for cube in cubes],
    }
    task = {
        "name": name,
        "task": "readout",
        **shared,
        "annotation_chan": facts.labels.uri,
        **labels,
        "encoder_task": ENCODER,
        # A readout has no choice to make, so there is nothing to validate.
        "cubes": [cube for cube in images.cubes() if cube["split"] != "val"],
    }
    batch = fitting_batch(encoder, 128 if machine.gpus else 32)
    epochs = 100 if machine.gpus else 20
    return Project(
        name=name,
        task=task,
        network=_network(facts, batch, epochs, len(places)),
        axes={},
        resources={"cpus_per_worker": 1, "gpus_per_worker": 1.0 if machine.gpus else 0.0},
        reasons={
            "machine": str(machine),
            "grey values": grey_values(facts)[1],
            "voxel size": voxel_size(facts),
            "classes": f"{', '.join(classes)} ({labels_found(facts)})",
            "splits": splits(facts, images),
            "image": f"1 x {side[0]} x {side[1]} voxels (z, y, x); attributes are of their corners",
            "encoder": f"ResNet-18 by BYOL, which needs no labels: {epochs} epochs",
            "places": f"{encoder['name']} tells {len(places)} places apart; that has no part in the readout",
        },
        encoder=encoder,
    )


def _network(facts: Facts, batch: int, epochs: int, places: int) -> dict[str, Any]:
    return {
        "name": "BYOL_ResNet-18",
        "classes": places,
        "model": {"name": "ResNet-18"},
        "method": {"name": "byol", "epochs": epochs},
        "optimizer": {"name": "SGD", "learning_rate": 0.03, "epochs": 50, "momentum": 0.9},
        "data": {"batch_size": batch, **grey_values(facts)[0]},
    }


def _divided(images: TaskImages, uri: str) -> tuple[list[int], list[list[dict[str, Any]]]]:
    """Height and width of an image, and the cubes of each of several places that divide all splits across one axis."""
    height, width = images.tile[1:]
    while True:
        for axis, side in ((2, width), (1, height)):
            extents = [box.shape[axis] // side for _, box in images.plan.parts]
            if axis != images.plan.axis and min(extents) > 1:
                return [height, width], _places(images, axis, side)
        if max(height, width) < 2 * _LEAST_SIDE:
            raise InputError(f"--image: {uri}: too small for a readout; accepted: a larger volume")
        height, width = (side // 2 if side >= 2 * _LEAST_SIDE else side for side in (height, width))


def _places(images: TaskImages, axis: int, side: int) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = []
    cubes = images.cubes()
    tiles = min((cube["zyx"[axis]][1] - cube["zyx"[axis]][0]) // side for cube in cubes)
    number = min(_MOST_PLACES, tiles)
    for n in range(number):
        here = []
        for cube in cubes:
            start = cube["zyx"[axis]][0]
            edges = [start + side * (tiles * each // number) for each in (n, n + 1)]
            here.append({**cube, "region": f"place_{n}", "zyx"[axis]: edges})
        found.append(here)
    return found
