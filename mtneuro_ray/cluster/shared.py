"""Data and pretrained weights that the runs of a sweep share: read once, in a thread of the driver, beside the trials.

Torch is imported where weights are read, not by the driver.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy.typing as npt
import ray
from ray import ObjectRef

from mtneuro_ray.cluster.ray_data import SplitRefs, fetch_all, fetch_here, is_small, results, share_splits
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.data.ingest import Cutout, ingest
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.models.library import LibrarySettings
from mtneuro_ray.sweep.experiment import PlannedRun

if TYPE_CHECKING:
    import torch

EncoderRef = ObjectRef[dict[str, npt.NDArray[Any]]]
# Model, encoder, weights and channels of the image: the model decides how many of the encoder's stages it has.
EncoderKey = tuple[str, str, str | None, int]
# Name of the task, and the encoder's weights.
DataKey = tuple[str, EncoderKey | None]


def encoder_key(network: NetworkSettings) -> EncoderKey | None:
    """The key that networks with the same initial encoder weights share; None for random weights."""
    if not network.starts_pretrained:
        return None
    settings = cast(LibrarySettings, network.model)
    return (settings.name, settings.encoder_name, settings.encoder_weights, settings.in_channels)


@ray.remote(num_cpus=0, max_retries=3, num_returns=2)
def _fetch_encoder(network: NetworkSettings) -> tuple[dict[str, npt.NDArray[Any]], int]:
    from mtneuro_ray.models.pretrained import fetch_encoder_weights

    weights = fetch_encoder_weights(network) or {}
    # Workers map arrays out of shared memory; tensors would be copied by each.
    return {name: tensor.numpy() for name, tensor in weights.items()}, len(weights)


def share_encoder(network: NetworkSettings) -> EncoderRef:
    """Read or download the weights that a network's encoder starts from, for all of its workers.

    Raises:
        InputError: the weights cannot be downloaded or read, or are not those of the encoder.
    """
    # Two references, which Ray types as one.
    fetched: Any = _fetch_encoder.remote(network)
    encoder: EncoderRef
    encoder, count = fetched
    results([count], unread=[encoder])
    return encoder


def get_encoder(ref: EncoderRef | None) -> dict[str, torch.Tensor] | None:
    """The shared weights, as read-only views of this node's memory."""
    if ref is None:
        return None
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return {name: torch.from_numpy(array) for name, array in ray.get(ref).items()}


class Shared:
    """Reads the data and weights of runs in a thread, in the order in which they are wanted.

    A small ingest begins before the process is on a cluster; everything else waits for `join`.

    Args:
        store: Cutouts.
        budget: Bytes of a split in memory; see `cluster.ray_data.share_splits`.

    Attributes:
        error: The error that ended the reading: a volume or weights that cannot be read. Nothing is read after it.
    """

    def __init__(self, store: CutoutStore, budget: int | None = None) -> None:
        self.error: Exception | None = None
        self._joined = threading.Event()
        self._beside_trials = False
        self._store, self._budget = store, budget
        self._splits: dict[str, SplitRefs] = {}
        self._encoders: dict[EncoderKey | None, EncoderRef | None] = {None: None}
        self._wanted: deque[PlannedRun] = deque()
        self._seen: set[DataKey] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def join(self, *, beside_trials: bool) -> None:
        """Go on with what needs the cluster, on which this process is now.

        Args:
            beside_trials: Whether trials may hold all CPUs, so that the tasks that read ask for none.
        """
        self._beside_trials = beside_trials
        self._joined.set()

    def want(self, planned: PlannedRun) -> None:
        """Read the data and weights of a run, unless another run has wanted the same before."""
        key = self.key(planned)
        with self._changed:
            if key in self._seen:
                return
            self._seen.add(key)
            self._wanted.append(planned)
            if self._thread is None:
                self._thread = threading.Thread(target=self._read_all, daemon=True)
                self._thread.start()

    @staticmethod
    def key(planned: PlannedRun) -> DataKey:
        """The key that runs with the same data and weights share."""
        return planned.run.task.name, encoder_key(planned.run.network)

    def has(self, key: DataKey) -> bool:
        """Whether the data and weights of this key are read."""
        task, encoder = key
        return task in self._splits and encoder in self._encoders

    def splits(self, planned: PlannedRun) -> SplitRefs:
        """The data of a run. The test split never reaches a candidate."""
        refs = self._splits[planned.run.task.name]
        return {split: ref for split, ref in refs.items() if planned.run.role == "final" or split != "test"}

    def encoder(self, planned: PlannedRun) -> EncoderRef | None:
        """Weights that the encoder of a run starts from."""
        return self._encoders[encoder_key(planned.run.network)]

    def wait(self, keys: Collection[DataKey]) -> None:
        """Wait until one of these keys is read, or nothing is read any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None or any(self.has(key) for key in keys))

    def _read_all(self) -> None:
        while True:
            with self._changed:
                if not self._wanted or self.error is not None:
                    self._thread = None
                    self._changed.notify_all()
                    return
                planned = self._wanted.popleft()
            try:
                self._read(planned)
            except Exception as error:
                self.error = error
            with self._changed:
                self._changed.notify_all()

    def _read(self, planned: PlannedRun) -> None:
        (task, key), pair = self.key(planned), planned.pair
        # Before the volume is read: a download that fails should not come last.
        if key not in self._encoders:
            self._joined.wait()
            self._encoders[key] = share_encoder(planned.run.network)
        if task not in self._splits:
            # Trials begin with the first task's data.
            beside = bool(self._splits)
            volumes = ingest(self._store, pair.task, pair.task_file, partial(self._fetch, beside_trials=beside))
            self._joined.wait()
            beside = beside or self._beside_trials
            self._splits[task] = share_splits(self._store, pair.task, volumes, self._budget, beside_trials=beside)

    def _fetch(
        self, store: CutoutStore, cutouts: list[Cutout], advance: Callable[[int], None], *, beside_trials: bool
    ) -> None:
        if not self._joined.is_set() and is_small(cutouts):
            fetch_here(store, cutouts, advance, self._joined)
        else:
            self._joined.wait()
            fetch_all(store, cutouts, advance, beside_trials=beside_trials or self._beside_trials)
