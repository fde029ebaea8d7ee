"""Runs of the benchmark's Tasks 1 and 3: what the paper calls their methods, and where they leave its settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from mtneuro_ray.config.loading import load_network
from mtneuro_ray.results import paper_encoders as paper
from mtneuro_ray.results.departures import as_option, changed_images, packaged_task
from mtneuro_ray.results.methods import encoder_task_of, flattened, network_of, task_of
from mtneuro_ray.storage.records import RunRecord

_SETTINGS = {*paper.TABLE_1, *paper.TABLE_A3, *paper.TABLE_3}
_SSL_NAMES = {"byol": "BYOL", "myow": "MYOW", "myowmerged": "MYOW-m"}
# The paper's name -> the packaged network that has its settings.
_NETWORKS = {
    paper.SUPERVISED: "SUP_ResNet-18_2D",
    paper.MIXUP: "SUP_Mixup_ResNet-18_2D",
    "BYOL": "SSL_BYOL_ResNet-18_2D",
    "MYOW": "SSL_MYOW_ResNet-18_2D",
    "MYOW-m": "SSL_MYOWMerged_ResNet-18_2D",
    "PCA": "PCA",
    "NMF": "NMF",
}
# What names or repeats a run, or what tables show of it in another place.
_SHOWN = {"name", "seed", "method.mixup_probability"}
_DECOMPOSITIONS = ("PCA", "NMF")


def setting_of(record: RunRecord) -> str | None:
    """The task of a run of the benchmark's Tasks 1 and 3, or None for any other run."""
    task = task_of(record)
    name: str = task["name"]
    if name not in _SETTINGS:
        return None
    published = packaged_task(name)
    return name if all(task[key] == published[key] for key in ("task", "classes", "encoder_task")) else None


def paper_name(record: RunRecord) -> str:
    """The paper's name of a run's method."""
    network = network_of(record)
    if network["method"]["name"] in _SSL_NAMES:
        return _SSL_NAMES[network["method"]["name"]]
    if network["model"]["name"] in _DECOMPOSITIONS:
        return str(network["model"]["name"])
    return paper.MIXUP if network["method"].get("mixup_probability") else paper.SUPERVISED


def mixup_of(record: RunRecord) -> float | None:
    """The probability of mixup, of a run that has any."""
    probability: float = network_of(record)["method"].get("mixup_probability", 0.0)
    return probability or None


def changes_of(record: RunRecord) -> str:
    """Where a run's network leaves the paper's settings, but for what the paper searched and what the scale tells."""
    name = paper_name(record)
    network, published = flattened(network_of(record)), _published(name)
    shown = {*_SHOWN, "method.epochs", *(() if _is_frozen(record) else ("optimizer.epochs",))}
    if record.settings["task"]["task"] == "readout":
        shown.add("evaluation.eval_crops")
    return ", ".join(
        as_option(key, value) for key, value in network.items() if key not in shown and value != published.get(key)
    )


@cache
def _published(name: str) -> Mapping[str, Any]:
    """Settings of a method's packaged network, scored on corners as the paper scores all methods."""
    network = load_network(_NETWORKS[name])[0].model_dump(mode="json")
    return {**flattened(network), "evaluation.eval_crops": "corners"}


def _is_frozen(record: RunRecord) -> bool:
    return bool(network_of(record)["method"]["name"] != "supervised")


def is_decomposition(record: RunRecord) -> bool:
    """Whether the encoder is PCA or NMF, which have no epochs."""
    return network_of(record)["model"]["name"] in _DECOMPOSITIONS


def epochs_of(record: RunRecord) -> list[str]:
    """The epochs of the encoder's training, where they are others than the paper's."""
    epochs = record.summary["epochs"]
    return [] if is_decomposition(record) or epochs == paper.EPOCHS else [f"{epochs} epochs"]


def images_of(record: RunRecord) -> list[str]:
    """Where the images leave the paper's; of a readout also where those of its encoder do, if they do elsewhere."""
    changes, encoder = changed_images(task_of(record)), encoder_task_of(record)
    trained_on = changes if encoder is None else changed_images(encoder)
    return changes if trained_on == changes else [*changes, f"encoders of {', '.join(trained_on) or 'all images'}"]


class Part(NamedTuple):
    """What the runs of one of the paper's tables have in common.

    Attributes:
        data: Identities of the volumes.
        epochs: Of `epochs_of`.
        images: Of `images_of`.
    """

    data: tuple[str, ...]
    epochs: tuple[str, ...]
    images: tuple[str, ...]

    @property
    def source(self) -> str:
        """Of which data, so that nobody takes it for the mouse brain, and at which scale."""
        return ", ".join((f"{self.data[0].partition(':')[0]} data", *self.epochs, *self.images))


def parts_of(records: Iterable[RunRecord], settings: Collection[str]) -> list[tuple[Part, list[RunRecord]]]:
    """The runs of some of the benchmark's tasks, by data and scale.

    Those of PCA and NMF, which have no epochs, stand beside the networks of every number of epochs.
    """
    parts: dict[Part, list[RunRecord]] = {}
    chosen = [record for record in records if setting_of(record) in settings]
    for record in sorted(chosen, key=is_decomposition):
        part = Part(tuple(record.settings["data"]), tuple(epochs_of(record)), tuple(images_of(record)))
        homes = [other for other in parts if (other.data, other.images) == (part.data, part.images)]
        for home in homes if is_decomposition(record) and homes else [part]:
            parts.setdefault(home, []).append(record)
    return sorted(parts.items())
