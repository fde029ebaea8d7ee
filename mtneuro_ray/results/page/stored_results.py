"""What the page shows beside run files: predictions, embeddings, mined views and images that lie in the folder.

Nothing is made here: no voxel is read from a volume, and nothing is predicted or projected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import embeddings, predictions
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.identities import Identities, by_role
from mtneuro_ray.data.samples import SplitArrays, load_split
from mtneuro_ray.data.store import Bytes, CutoutStore
from mtneuro_ray.errors import noted
from mtneuro_ray.results.charts.boxes import Box, boxes_of
from mtneuro_ray.results.charts.projection import PROJECTED, Projection, is_projected, projection_of
from mtneuro_ray.results.charts.scenes import Scene
from mtneuro_ray.results.charts.tiles import Cloud, cloud_of, tiles_of
from mtneuro_ray.results.figures import gallery
from mtneuro_ray.results.figures.picture import Picture
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord

Notes = list[str]
"""Receives a line for everything that could not be shown, with the reason."""


class StoredResults:
    """The stored results of an output folder.

    Args:
        out: The folder.
        store: Its cutouts.
    """

    def __init__(self, out: Folder, store: CutoutStore) -> None:
        self._out, self._store = out, store

    def has_predictions(self, records: Sequence[RunRecord]) -> bool:
        """Whether a run that would be shown has left predictions."""
        shown = gallery.shown_runs(records, self._out)
        return any(predictions.exist(predictions.place_of(self._out, record.run_id)) for record in shown)

    def has_projections(self) -> bool:
        """Whether a readout has left embeddings that are projected."""
        return bool((self._out / embeddings.FOLDER).list(PROJECTED))

    def scenes(self, records: Sequence[RunRecord], notes: Notes) -> list[Scene]:
        """The boxes that runs have predicted, one run of each model, task and state of the data."""
        with noted(notes, "Predictions are left out: "):
            shown = gallery.shown_runs(records, self._out)
            return gallery.stored_scenes(shown, self._out, self._load, records)
        return []

    def boxes(self, records: Sequence[RunRecord], notes: Notes) -> list[Box]:
        """The same, slice by slice."""
        return boxes_of(self.scenes(records, notes))

    def clouds(self, records: Sequence[RunRecord], notes: Notes) -> list[Cloud]:
        """The projected embeddings of one readout of each model, task and state of the data."""
        found = []
        for record in gallery.read_out_runs(records):
            if is_projected(self._out, record.run_id):
                with noted(notes):
                    projection = projection_of(self._out, record.run_id)
                    found.append(cloud_of(projection, self._tiles(record, projection, notes)))
        return found

    def _tiles(self, record: RunRecord, projection: Projection, notes: Notes) -> Bytes | None:
        with noted(notes, "Embeddings are shown without their tiles: "):
            return tiles_of(record.load_settings(), projection.embeddings.splits, self.load_images)
        return None

    def pictures(self, records: Sequence[RunRecord], notes: Notes) -> Iterator[Picture]:
        """Pictures that stay as they are: the paper's comparisons, 3D views, mined views, correlation of slices."""
        yield from gallery.table_pictures(records)
        yield from gallery.volume_pictures(self.scenes(records, []))
        for record in gallery.mining_runs(records, self._out):
            with noted(notes):
                if views.exist(self._out, record.run_id):
                    yield gallery.view_picture(record, views.read(self._out, record.run_id))
        yield from gallery.correlation_pictures(records, self.load_images)

    def load_images(self, run: RunSettings, split: Split) -> SplitArrays:
        """The images of a split, without the targets of a readout, which would take long to measure."""
        task = run.task.model_copy(update={"task": "classification"})
        return load_split(self._store, Identities(by_role(run.task, run.data).images), task, split)

    def _load(self, run: RunSettings, split: Split) -> SplitArrays:
        return load_split(self._store, by_role(run.task, run.data), run.task, split)
