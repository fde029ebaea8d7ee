"""Which run stands for a model and a setting where one is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from mtneuro_ray.results.methods import method_of, network_of
from mtneuro_ray.storage.records import RunRecord

# Methods that mine views, whose examples can be shown.
_MINERS = ("myow", "myowmerged")


def is_final_segmentation(record: RunRecord) -> bool:
    """Whether the run is finished and has a test split to predict."""
    return _is_final(record, "segmentation")


def is_final_readout(record: RunRecord) -> bool:
    """Whether the run is finished and has left embeddings."""
    return _is_final(record, "readout")


def is_final_training(record: RunRecord) -> bool:
    """Whether the run is finished and has weights of its own, which a readout has not."""
    return _is_final(record, "segmentation") or _is_final(record, "classification")


def has_mined(record: RunRecord) -> bool:
    """Whether the run is finished and has trained an encoder on mined views."""
    return _is_final(record, "classification") and network_of(record)["method"]["name"] in _MINERS


def _is_final(record: RunRecord, kind: str) -> bool:
    is_kind: bool = record.settings["task"]["task"] == kind
    return record.status == "done" and record.summary["role"] == "final" and is_kind


def representatives(
    records: Iterable[RunRecord],
    preferred: Collection[str] = (),
    is_shown: Callable[[RunRecord], bool] = is_final_segmentation,
) -> list[RunRecord]:
    """One run per model and setting of those that can be shown, in their order.

    Of several methods the one with the most seeds, of several seeds the first; a run whose id is `preferred` goes
    before all others.
    """
    finals = [record for record in records if is_shown(record)]
    seeds = Counter(method_of(record) for record in finals)
    chosen: dict[tuple[str, str], RunRecord] = {}
    for record in sorted(
        finals, key=lambda r: (r.run_id not in preferred, -seeds[method_of(r)], r.summary["seed"], r.run_id)
    ):
        chosen.setdefault((record.summary["model"], record.summary["task"]), record)
    return [chosen[key] for key in sorted(chosen)]


def widest(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Of each image volume the finished run on whole images that reads the most of a box, the finest of equals."""
    chosen: dict[str, RunRecord] = {}
    whole = [record for record in records if _is_final(record, "classification") or _is_final(record, "readout")]
    for record in sorted(whole, key=lambda record: (-_slices(record), record.settings["task"]["downsample"])):
        chosen.setdefault(record.settings["data"][0], record)
    return [chosen[key] for key in sorted(chosen)]


def _slices(record: RunRecord) -> int:
    """Slices that are read of the first box of the task, which may be cut into splits along z."""
    task = record.settings["task"]
    first = task["cubes"][0]
    depths = [
        cube["z"][1] - cube["z"][0]
        for cube in task["cubes"]
        if all(cube[key] == first[key] for key in ("region", "y", "x"))
    ]
    return sum(min(depth, task["max_slices"] or depth) for depth in depths)
