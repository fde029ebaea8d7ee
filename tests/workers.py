"""Two worker processes that live as long as the test session, joined by gloo, and run functions of the tests."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_PATIENCE_S = 300


class Workers:
    """A process group of two, from which each function call gets the results of both ranks."""

    def __init__(self, folder: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(2):
            own, other = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(rank, str(folder / "rendezvous"), other), daemon=True)
            process.start()
            self._pipes.append(own)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call `function(rank, *arguments)`, which lies at the top of a module, in both at once."""
        for pipe in self._pipes:
            pipe.send((function, arguments))
        answers = []
        for pipe in self._pipes:
            assert pipe.poll(_PATIENCE_S), f"{function.__name__}: a worker does not answer"
            answers.append(pipe.recv())
        failures = [text for text, _ in answers if text is not None]
        assert failures == [], "\n".join(failures)
        return [result for _, result in answers]

    def close(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join(30)
            process.kill()


def _serve(rank: int, rendezvous: str, pipe: Connection) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    while (task := pipe.recv()) is not None:
        function, arguments = task
        try:
            pipe.send((None, function(rank, *arguments)))
        except Exception:
            pipe.send((traceback.format_exc(), None))
    dist.destroy_process_group()
