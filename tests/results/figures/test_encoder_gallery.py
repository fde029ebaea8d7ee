from __future__ import annotations

from pathlib import Path

import numpy as np

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.results.figures.correlation import correlations
from mtneuro_ray.results.figures.embeddings import Projection
from mtneuro_ray.results.figures.encoder_gallery import (
    correlation_picture,
    embedding_pictures,
    mining_runs,
    read_out_runs,
    stored_stacks,
    table_pictures,
    view_picture,
)
from mtneuro_ray.storage.folder import Folder
from tests.engine.data import arrays
from tests.results.figures.scenery import embeddings, examples
from tests.results.records import classification_record, encoder_record, readout_record


def test_the_tables_of_encoders_are_pictures() -> None:
    records = [
        encoder_record(0.5),
        encoder_record(0.5, "task1_x4"),
        readout_record(0.5, method="BYOL"),
        readout_record(0.5, "task3_c3"),
        classification_record(0.5, 1),
    ]
    pictures = list(table_pictures(records))
    assert [picture.name for picture in pictures] == ["table_1", "table_a3", "table_3_I", "table_3_II"]
    assert all("phantom data" in picture.title for picture in pictures)
    assert list(table_pictures([classification_record(0.5, 1)])) == []


def test_encoders_of_one_network_data_and_scale_are_rows_of_one_picture() -> None:
    own = embeddings()
    projection = Projection(own, own.vectors[:, :2])
    records = [
        readout_record(0.5, method="PCA"),
        readout_record(0.5, "task3_c3", "PCA"),
        readout_record(0.5, method="BYOL", preset="smoke"),
    ]
    pictures = list(embedding_pictures([(record, projection) for record in records]))
    assert [picture.name for picture in pictures] == ["embeddings_PCA", "embeddings_SSL_BYOL_ResNet-18_2D"]
    assert pictures[0].title == "PCA, phantom data: UMAP of the embeddings of corners"
    assert "_2D, phantom data, 2 epochs, 64 px, at most 64 slices" in pictures[1].title
    # Regions, five attributes, and the color bars of these.
    assert [len(picture.figure.axes) for picture in pictures] == [22, 11]


def test_runs_that_are_shown_are_finished_ones_of_their_kind(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    readouts = [readout_record(0.5, seed=seed) for seed in (1, 2)]
    miners = [encoder_record(0.5, task, "MYOW", seed=seed) for task in ("task1", "task1_c2") for seed in (1, 2)]
    records = [*readouts, *miners, encoder_record(0.5, method="BYOL")]
    assert read_out_runs(records) == [readouts[0]]
    assert mining_runs(records, out) == [miners[0]]
    views.write(out, miners[1].run_id, examples())
    assert mining_runs(records, out) == [miners[1]]
    assert view_picture(miners[1], examples()).title == "SSL_MYOW_ResNet-18_2D on task1, phantom data: views"


def test_the_slices_of_a_run_are_those_of_its_splits_one_below_the_other() -> None:
    record = classification_record(0.5, 1)

    def load(run: RunSettings, split: Split) -> SplitArrays:
        first, count = {"train": (0, 4), "val": (5, 2), "test": (8, 2)}[split]
        return arrays(count, first, masks=False)

    [stack] = stored_stacks(record, load)
    assert (stack.region, stack.z.tolist()) == ("A", [0, 1, 2, 3, 5, 6, 8, 9])
    np.testing.assert_array_equal(stack.images[4:6], arrays(2, 5, masks=False).images[:, 0])
    picture = correlation_picture(record, [stack])
    assert picture.title == "Correlation of slices, file data, regions, downsampling 1"
    found = np.asarray(picture.figure.axes[1].get_images()[0].get_array())
    np.testing.assert_allclose(found, correlations(stack.images))
