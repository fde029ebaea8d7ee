"""Train, tune and compare models on volumetric brain images, on Ray; the MTNeuro benchmark is built in.

import mtneuro_ray

volume = mtneuro_ray.open_volume("phantom://thalamocortical/image?seed=0")
task = mtneuro_ray.load_task("task2_2D_4class", preset="smoke")
record = mtneuro_ray.train("task2_2D_4class", "UNet_2D_4class", preset="smoke")
mtneuro_ray.Sweep("smoke").run()
mtneuro_ray.Results("out").best()
mtneuro_ray.predict_volume("zarr://brain.zarr", "zarr://prediction.zarr")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtneuro_ray.api.inference import predict_volume
    from mtneuro_ray.api.sharing import load_model
    from mtneuro_ray.api.task_data import TaskData, load_task
    from mtneuro_ray.api.training import SweepJob as Sweep
    from mtneuro_ray.api.training import train
    from mtneuro_ray.onboarding.inspection import inspect_volume
    from mtneuro_ray.results.query import Results
    from mtneuro_ray.results.tissue.measure import measure
    from mtneuro_ray.volumes.source import open_volume

__version__ = "0.2.0"

_API = {
    "Sweep": "mtneuro_ray.api.training:SweepJob",
    "TaskData": "mtneuro_ray.api.task_data:TaskData",
    "load_model": "mtneuro_ray.api.sharing:load_model",
    "load_task": "mtneuro_ray.api.task_data:load_task",
    "measure": "mtneuro_ray.results.tissue.measure:measure",
    "predict_volume": "mtneuro_ray.api.inference:predict_volume",
    "train": "mtneuro_ray.api.training:train",
    "Results": "mtneuro_ray.results.query:Results",
    "inspect_volume": "mtneuro_ray.onboarding.inspection:inspect_volume",
    "open_volume": "mtneuro_ray.volumes.source:open_volume",
}
__all__ = [
    "Results",
    "Sweep",
    "TaskData",
    "__version__",
    "inspect_volume",
    "load_model",
    "load_task",
    "measure",
    "open_volume",
    "predict_volume",
    "train",
]


def __getattr__(name: str) -> Any:
    # Imported when used, so that `mtneuro-ray --help` stays fast.
    if name not in _API:
        raise AttributeError(f"module 'mtneuro_ray' has no attribute {name!r}")
    from mtneuro_ray.registry import imported

    return imported(_API[name])


def __dir__() -> list[str]:
    return sorted(__all__)
