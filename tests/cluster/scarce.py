"""A sweep on a machine whose memory is short: run as a program, because Ray's workers take their fault from its start.

    python -m tests.cluster.scarce SPACE OUT [TABLE.json]

By its learning rate a run really fails to allocate memory while it shares the machine (0.01), is killed then (0.001),
or fails by itself, too (0.5). Prints what `sweep` returns, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import ray

from mtneuro_ray.cluster.driver import Where, sweep
from mtneuro_ray.config.sweeps import load_sweep
from mtneuro_ray.data.store import CutoutStore
from mtneuro_ray.storage.folder import Folder

CPUS = 2


def _fault() -> Callable[[], None]:
    """What each worker does first. Defined in a function, so that it travels by value."""

    def be_short_of_memory() -> None:
        import os
        import resource
        import signal
        from typing import Any

        import ray
        import torch

        from mtneuro_ray.methods.training.supervised import Supervised

        step = Supervised.step

        def short_step(self: Any, *arguments: Any) -> Any:
            rate = self.network.optimizer.learning_rate
            asked: dict[str, float] = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
            is_alone = asked.get("CPU") == 2
            if rate == 0.001 and not is_alone:
                os.kill(os.getpid(), signal.SIGKILL)
            if rate == 0.5 or (rate == 0.01 and not is_alone):
                before = resource.getrlimit(resource.RLIMIT_DATA)
                resource.setrlimit(resource.RLIMIT_DATA, (1, before[1]))
                try:
                    torch.empty(2**32, dtype=torch.uint8)
                finally:
                    resource.setrlimit(resource.RLIMIT_DATA, before)
            return step(self, *arguments)

        Supervised.step = short_step  # type: ignore[assignment, method-assign]

    return be_short_of_memory


def main(space_file: str, out: str, table: str | None = None) -> None:
    ray.init(
        num_cpus=CPUS,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": _fault()},
    )
    space, entries = load_sweep(space_file)
    resources = space.run.replace("scarce", packing=table, max_failures=0)
    print(json.dumps(sweep(entries, resources, Where(CutoutStore(Folder(f"{out}/store")), Folder(out)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
