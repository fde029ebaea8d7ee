"""Data and weights that the runs of a sweep have in common, read once for all of them, beside the trials."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from mtneuro_ray.cluster.encoders import EncoderKey, EncoderRef, encoder_key, share_encoder
from mtneuro_ray.cluster.ray_data import SplitRefs, share_task
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.sweep.experiment import PlannedRun


class Shared:
    """Reads what runs need in a thread, in the order in which runs want it.

    Args:
        store: Cutouts.

    Attributes:
        error: What ended the reading: a volume or weights that cannot be read. Nothing is read after it.
    """

    def __init__(self, store: CutoutStore) -> None:
        self.error: Exception | None = None
        self._store = store
        self._splits: dict[str, SplitRefs] = {}
        self._encoders: dict[EncoderKey | None, EncoderRef | None] = {None: None}
        self._wanted: deque[PlannedRun] = deque()
        self._seen: set[tuple[str, EncoderKey | None]] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def want(self, planned: PlannedRun) -> None:
        """Read what a run needs, unless another has wanted it before."""
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
    def key(planned: PlannedRun) -> tuple[str, EncoderKey | None]:
        """What runs with the same data and weights have in common."""
        return planned.run.task.name, encoder_key(planned.run.network)

    def has(self, key: tuple[str, EncoderKey | None]) -> bool:
        """Whether what runs with this key need is there."""
        task, encoder = key
        return task in self._splits and encoder in self._encoders

    def splits(self, planned: PlannedRun) -> SplitRefs:
        """The data of a run. The test split never reaches a candidate."""
        refs = self._splits[planned.run.task.name]
        return {split: ref for split, ref in refs.items() if planned.run.role == "final" or split != "test"}

    def encoder(self, planned: PlannedRun) -> EncoderRef | None:
        """Weights that the encoder of a run starts from."""
        return self._encoders[encoder_key(planned.run.network)]

    def wait(self, keys: Collection[tuple[str, EncoderKey | None]]) -> None:
        """Wait until one of these keys is there, or nothing is read any more."""
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
        task, key = self.key(planned)
        # Before the volume is read: a download that fails should not come last.
        if key not in self._encoders:
            self._encoders[key] = share_encoder(planned.run.network)
        if task not in self._splits:
            pair = planned.pair
            # Trials begin with the first task's data.
            beside = bool(self._splits)
            self._splits[task] = share_task(self._store, pair.task, pair.task_file, beside_trials=beside)
