"""A task with its data, as arrays and as torch Datasets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mtneuro_ray.config import loading
from mtneuro_ray.config.task import Split, TaskSettings
from mtneuro_ray.data.identities import Identities
from mtneuro_ray.data.ingest import ingest
from mtneuro_ray.data.samples import SplitArrays, load_split, load_splits, log_absent
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.errors import InputError
from mtneuro_ray.storage.folder import Folder

if TYPE_CHECKING:
    from mtneuro_ray.data.resident import SplitDataset

Address = str | os.PathLike[str] | Folder


def folder_of(address: Address) -> Folder:
    """The folder of a path, an address or a folder."""
    return address if isinstance(address, Folder) else Folder(address)


def store_of(store: Address | None, out: Address) -> CutoutStore:
    """The cutouts in a folder, by default in `out/store`."""
    return CutoutStore(folder_of(out) / "store" if store is None else folder_of(store))


@dataclass(frozen=True)
class TaskData:
    """A task with the store of its voxels."""

    settings: TaskSettings
    file: Path
    """File of the task; relative paths in it start there."""
    store: CutoutStore
    """Cutouts; missing voxels are read from the task's volumes once."""

    def arrays(self, split: Split) -> SplitArrays:
        """One split as numpy arrays: images (N, C, Z, Y, X) in the volume's type, masks, labels, regions.

        Raises:
            InputError: the task has no such split, or the data do not fit its settings.
            SourceError: a volume can't be read.
        """
        splits = list(dict.fromkeys(cube.split for cube in self.settings.cubes))
        if split not in splits:
            raise InputError(f"{self.settings.name}: split: is {split!r}; accepted: {', '.join(splits)}")
        found = load_split(self.store, self._identities, self.settings, split)
        log_absent(self.settings, {split: found.absent(self.settings.classes)})
        return found

    def dataset(self, split: Split) -> SplitDataset:
        """One split as a torch Dataset of (image, target) pairs.

        Raises:
            InputError: the task has no such split, or the data do not fit its settings.
            SourceError: a volume can't be read.
        """
        from mtneuro_ray.data.resident import SplitDataset

        return SplitDataset(self.arrays(split))

    def splits(self) -> dict[Split, SplitArrays]:
        """Every split as numpy arrays."""
        return load_splits(self.store, self._identities, self.settings)

    @cached_property
    def _identities(self) -> Identities:
        """Identities of the volumes, after the task's voxels are in the store."""
        return ingest(self.store, self.settings, self.file).identities


def load_task(
    name: str, *, volume: str | None = None, preset: str | None = None, store: Address = "out/store"
) -> TaskData:
    """A task by name or path, with its data.

    Args:
        name: Packaged name (`mtneuro-ray list tasks`) or path of a JSON.
        volume: Volume that replaces the task's own: "phantom", or a base URI of a copy; NAME=URI for one of several.
        preset: Scale: "smoke" (small crops of the phantom) or "paper".
        store: Folder of cutouts, here or in a bucket.

    Returns:
        The task; nothing is read before a split is asked for.

    Raises:
        InputError: one line that names the file and the key.

    Example:
        >>> task = mtneuro_ray.load_task("task2_2D_4class", preset="smoke", store=store)
        >>> image, mask = task.dataset("val")[0]
        >>> image.shape, mask.shape, task.settings.classes
        (torch.Size([1, 128, 128]), torch.Size([128, 128]), ('bg', 'vessels', 'cells', 'axons'))
    """
    settings, file = loading.load_task(name, volume, preset)
    return TaskData(settings, file, store_of(store, "out"))
