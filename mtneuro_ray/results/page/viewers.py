"""Slices of predictions, clouds of embeddings and pictures, as the page's script reads them."""

from __future__ import annotations

from typing import Any

from mtneuro_ray.results.charts.boxes import Box, classes_bytes, disagreement_bytes, image_bytes
from mtneuro_ray.results.charts.tiles import ROW, SIDE, Cloud, sheet_bytes
from mtneuro_ray.results.figures.colors import colors_of
from mtneuro_ray.results.figures.picture import Picture, as_address


def box(found: Box) -> dict[str, Any]:
    """A box: its slices, images, and of each model the classes with their colors, truth, prediction, disagreement.

    Models of one task share the truth, which `truths` holds once.
    """
    scene, truths, overlays = found.scene, dict[str, list[str]](), []
    for overlay in found.overlays:
        layer = overlay.layer
        colors = list(colors_of(layer.classes).values())
        if layer.task not in truths:
            truths[layer.task] = [as_address(classes_bytes(layer.truth[z], colors), "png") for z in found.slices]
        apart = layer.disagreement
        overlays.append(
            {
                "label": overlay.label,
                "task": layer.task,
                "classes": [
                    {"name": name, "color": "#" + "".join(f"{round(255 * part):02x}" for part in color)}
                    for name, color in zip(layer.classes[1:], colors, strict=True)
                ],
                "predicted": [as_address(classes_bytes(layer.predicted[z], colors), "png") for z in found.slices],
                "disagreement": None
                if apart is None
                else [as_address(disagreement_bytes(apart[z]), "png") for z in found.slices],
                "seeds": 1 + len(layer.others),
                "scores": overlay.scores(found.slices),
            }
        )
    height, width = scene.image.shape[1:]
    return {
        "title": found.title,
        "z": [scene.offset[0] + z * scene.step[0] for z in found.slices],
        "height": height,
        "width": width,
        "side": f"{width * scene.pixel[2]:.3g} {scene.unit}",
        "images": [as_address(image_bytes(scene.image[z]), "jpeg") for z in found.slices],
        "truths": truths,
        "overlays": overlays,
        "left_out": len({int(z) for overlay in found.overlays for z in overlay.layer.slices}) - len(found.slices),
    }


def cloud(found: Cloud) -> dict[str, Any]:
    """A cloud of points with its sheet of tiles; regions and splits are numbers of names."""
    regions, splits = (list(dict.fromkeys(names)) for names in (found.regions, found.splits))
    return {
        "title": found.title,
        "points": found.points.tolist(),
        "regions": regions,
        "region": [regions.index(name) for name in found.regions],
        "splits": splits,
        "split": [splits.index(name) for name in found.splits],
        "origins": found.origins.tolist(),
        "attributes": {name: values.tolist() for name, values in found.attributes.items()},
        "sheet": None if found.tiles is None else as_address(sheet_bytes(found.tiles), "jpeg"),
        "side": SIDE,
        "row": ROW,
        "left_out": found.left_out,
    }


def picture(found: Picture) -> dict[str, str]:
    """A picture as an image within the page."""
    return {"title": found.title, "source": found.as_address()}
