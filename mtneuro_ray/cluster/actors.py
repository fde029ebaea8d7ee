"""Trial processes that outlive their trials, and the order in which trials take them.

With `reuse_actors`, Tune 2.60 keeps one free process at most while no other trial waits, ends the others, and gives a
free process to any of the trials that wait. A process that starts again imports torch, for seconds, and the trials of a
sweep have an order. Both are decided here, in two objects of Tune's controller: its cache of processes, which is
private (`ray.tune.utils.object_cache`), and its scheduler.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.utils.object_cache import _ObjectCache

# Longer, and an autoscaler would pay for machines that nobody uses.
_IDLE_S = 60.0


class _Kept(_ObjectCache):
    """Keeps every free process for a minute, unless a trial waits that asks for other resources."""

    def __init__(self) -> None:
        super().__init__(may_keep_one=True)
        self._moved = time.monotonic()

    def cache_object(self, key: Hashable, obj: Any) -> bool:
        """Keep the process of a trial that has ended; whether it was kept."""
        self._moved = time.monotonic()
        if self._expects_others(key):
            return bool(super().cache_object(key, obj))
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        return True

    def pop_cached_object(self, key: Hashable) -> Any:
        """A kept process for these resources, or None."""
        self._moved = time.monotonic()
        return super().pop_cached_object(key)

    def flush_cached_objects(self, force_all: bool = False) -> Generator[Any, None, None]:
        """The processes that are kept no longer."""
        keys = [key for key, objects in self._cached_objects.items() if objects]
        is_idle = time.monotonic() - self._moved > _IDLE_S
        if force_all or is_idle or any(self._expects_others(key) for key in keys):
            yield from super().flush_cached_objects(force_all=force_all)

    def _expects_others(self, key: Hashable) -> bool:
        return any(count > 0 for other, count in self._max_num_objects.items() if other != key)


class Ordered(FIFOScheduler):
    """Starts the trials that wait in an order of ours, in processes that are kept.

    Args:
        priority: Trial -> how early it should start; larger is earlier.
    """

    def __init__(self, priority: Callable[[Trial], float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._priority = priority
        self._live: dict[str, Trial] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Enter a trial."""
        controller = getattr(tune_controller, "_tune_controller", tune_controller)
        if not isinstance(controller._actor_cache, _Kept):
            controller._actor_cache = _Kept()
        self._live[trial.trial_id] = trial

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Let go of a trial that has ended."""
        self._live.pop(trial.trial_id, None)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Let go of a trial that was given up; one that is tried again is added again."""
        self._live.pop(trial.trial_id, None)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Let go of a trial that never ran."""
        self._live.pop(trial.trial_id, None)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that should start before all others that wait; None where none waits."""
        waiting = [trial for trial in self._live.values() if trial.status == Trial.PENDING]
        return max(waiting, key=self._priority, default=None)
