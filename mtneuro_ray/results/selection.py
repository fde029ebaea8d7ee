"""Which run stands for a model and a setting where one is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from mtneuro_ray.results.methods import method_of
from mtneuro_ray.results.record import RunRecord


def is_final_segmentation(record: RunRecord) -> bool:
    """Whether the run is finished and has a test split to predict."""
    kind = record.settings["task"]["task"]
    return record.status == "done" and record.summary["role"] == "final" and kind == "segmentation"


def representatives(records: Iterable[RunRecord], preferred: Collection[str] = ()) -> list[RunRecord]:
    """One finished segmentation run per model and setting, in their order.

    Of several methods the one with the most seeds, of several seeds the first; a run whose id is `preferred` goes
    before all others.
    """
    finals = [record for record in records if is_final_segmentation(record)]
    seeds = Counter(method_of(record) for record in finals)
    chosen: dict[tuple[str, str], RunRecord] = {}
    for record in sorted(
        finals, key=lambda r: (r.run_id not in preferred, -seeds[method_of(r)], r.summary["seed"], r.run_id)
    ):
        chosen.setdefault((record.summary["model"], record.summary["setting"]), record)
    return [chosen[key] for key in sorted(chosen)]
