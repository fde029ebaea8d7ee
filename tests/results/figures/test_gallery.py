from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.config.task import Split
from mtneuro_ray.data import mined_views as views
from mtneuro_ray.data.mosaic import EMPTY, Mosaic
from mtneuro_ray.data.predictions import Predictions, place_of, write
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.results.charts.confusion import confusions_of
from mtneuro_ray.results.charts.projection import Projection
from mtneuro_ray.results.figures.confusion import draw_confusion
from mtneuro_ray.results.figures.gallery import (
    correlation_picture,
    embedding_pictures,
    mining_runs,
    read_out_runs,
    run_pictures,
    shown_runs,
    slice_pictures,
    stored_scenes,
    stored_stacks,
    table_pictures,
    view_picture,
    volume_pictures,
)
from mtneuro_ray.results.figures.picture import Picture, distinct
from mtneuro_ray.results.figures.slice_correlation import correlations
from mtneuro_ray.results.frame import runs_of
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from tests.engine.data import arrays
from tests.results.figures.scenery import embeddings, examples, layer, scene
from tests.results.figures.test_curves import history
from tests.results.records import classification_record, encoder_record, readout_record, segmentation_record
from tests.settings import run_settings


def with_history(record: RunRecord) -> RunRecord:
    return replace(record, history=history(0.1, 0.2))


def test_pictures_of_runs_by_what_they_have_in_common() -> None:
    runs = [with_history(segmentation_record(seed=seed)) for seed in (1, 2)]
    other_data = with_history(segmentation_record(data=("zarr:a", "zarr:b")))
    other_rate = with_history(segmentation_record(learning_rate=0.5))
    failed = RunRecord.failed(run_settings(network={"seed": 9}), "diverged")
    stopped = replace(with_history(segmentation_record(role="candidate")), status="stopped", metrics={})
    pictures = list(
        distinct(run_pictures([*runs, other_data, other_rate, failed, stopped, classification_record(0.5, 1)]))
    )
    assert [picture.name for picture in pictures] == [
        "curves_net_small",
        "curves_net_small-2",
        "confusion_net_small",
        "confusion_net_small-2",
        "confusion_net_small-3",
        "confusion_res_regions",
        "seeds_regions",
        "seeds_small",
        "classes_small",
        "seeds_small-2",
        "classes_small-2",
        "timings",
    ]
    assert pictures[0].title == "net on small, 2 epochs, phantom data: learning curves"
    assert pictures[1].title == "net on small, 2 epochs, zarr data: learning curves"
    # Two seeds, the other rate and the stopped cell.
    assert sum(line.get_marker() == "." for line in pictures[0].figure.axes[0].lines) == 4
    own = "lr 0.01, batch 2, 2 epochs, 2 seeds, test split"
    assert pictures[2].title == f"net on small, phantom data, {own}: confusion"
    assert "1 seed," in pictures[4].title


def test_methods_of_one_model_and_setting_are_told_apart() -> None:
    records = [segmentation_record(seed=seed, input_norm=norm) for norm in ("unit", "image") for seed in (1, 2)]
    pictures = list(run_pictures([with_history(record) for record in records]))
    titles = [picture.figure.axes[0].get_title() for picture in pictures]
    assert titles[0] == ""
    assert [title.splitlines()[2:] for title in titles[1:3]] == [
        ["data.normalization unit"],
        ["data.normalization image"],
    ]
    lines = pictures[0].figure.axes[0].lines
    labels = ["data.normalization unit", "mean of 2 seeds", "data.normalization image", "mean of 2 seeds"]
    assert [str(line.get_label()) for line in lines if not str(line.get_label()).startswith("_")] == labels
    assert len({line.get_color() for line in lines}) == 2


def test_a_confusion_matrix_is_the_shares_of_the_true_classes_over_all_seeds() -> None:
    records = [segmentation_record(seed=seed) for seed in (1, 2)]
    for record, counts in zip(
        records, ([[8, 1, 0], [0, 3, 1], [0, 0, 0]], [[1, 0, 0], [0, 4, 0], [0, 0, 0]]), strict=True
    ):
        record.metrics["test"]["confusion"] = counts
    [found] = confusions_of(runs_of(records))
    axis = draw_confusion(found).axes[0]
    [image] = axis.get_images()
    shares = np.asarray(image.get_array(), float)
    np.testing.assert_allclose(shares, np.array([[0.9, 0.1, 0], [0, 0.875, 0.125], [0, 0, 0]]))
    assert [label.get_text() for label in axis.get_yticklabels()] == ["bg\n10", "vessels\n8", "cells\n0"]
    assert "90.0 %" in {text.get_text() for text in axis.texts}


def test_a_confusion_matrix_of_corners_says_so() -> None:
    for crops, unit in (("corners", "corners of images"), ("whole", "images")):
        [found] = confusions_of(runs_of([encoder_record(0.5, eval_crops=crops)]))
        axis = draw_confusion(found).axes[0]
        assert axis.get_ylabel() == f"truth, and its {unit}"


def test_pictures_of_predictions_per_model() -> None:
    flat = layer()
    flat.predicted[[0, 1, 3, 4]] = EMPTY
    scenes = [scene(), scene(model="other"), scene(flat, region="STR")]
    pictures = [*slice_pictures(scenes), *volume_pictures(scenes)]
    assert [picture.name for picture in pictures] == [
        "slices_net",
        "slices_other",
        "volume_net_CTX",
        "volume_other_CTX",
    ]
    assert all(picture.is_photo for picture in pictures)
    assert len(pictures[0].figure.axes) == 2 * 4


def test_scenes_of_predictions_that_are_there(tmp_path: Path) -> None:
    out = Folder(tmp_path)
    records = [segmentation_record(seed=seed) for seed in (1, 2)]
    assert shown_runs(records, out) == [records[0]]
    run = run_settings(network={"seed": 2}, data=("phantom:image", "phantom:labels"))
    assert run.run_id == records[1].run_id
    cube = Mosaic("A", (8, 0, 0), (1, 1, 1), np.zeros((2, 16, 16), np.uint8))
    write(place_of(out, run.run_id), Predictions.of(run, "test", [cube]))
    assert shown_runs(records, out) == [records[1]]
    [found] = stored_scenes(records, out, lambda *_: arrays(2, 0, masks=True))
    assert (found.region, found.offset, found.model) == ("A", (8, 0, 0), "net")


def a_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    return figure


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_is_the_same_file_each_time(kind: str) -> None:
    one, two = (Picture("x", "x", a_figure()).encode(kind) for _ in range(2))
    assert one == two
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert one.startswith(starts[kind])


def content_of(picture: Picture, media: str) -> bytes:
    head, _, content = picture.as_address().partition(",")
    assert head == f"data:{media};base64"
    return base64.b64decode(content)


def test_on_a_page_a_figure_is_shapes_and_a_photo_pixels() -> None:
    shapes = content_of(Picture("x", "a <b>", a_figure()), "image/svg+xml")
    assert ElementTree.fromstring(shapes).tag.endswith("svg")
    photo = content_of(Picture("x", "a '<b>", a_figure(), is_photo=True), "image/png")
    with Image.open(io.BytesIO(photo)) as picture:
        assert picture.size == (180, 90)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_name_between_dollars_is_no_formula_and_numbers_keep_their_exponents(kind: str) -> None:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.plot([1, 2], [0.001, 1000], label="$\\frac{$")
    axes.set(title="$\\bad{$ \x1b[31m", yscale="log", xlabel="a_$b")
    axes.set_xticks([1, 2], ["$\\x$", "y"])
    axes.legend()
    text = Picture("x", "x", figure).encode(kind)
    assert text
    if kind == "svg":
        # As matplotlib notes the text of each drawing.
        assert b"<!-- $\\bad{$ ?[31m -->" in text
        assert b"<!-- $\\mathdefault{10^{" in text


def test_names_are_file_names_and_no_two_the_same() -> None:
    names = ["a/b", "a b", "c", "c"]
    found = [picture.name for picture in distinct(Picture(name, "", Figure()) for name in names)]
    assert found == ["a_b", "a_b-2", "c", "c-2"]


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
    np.testing.assert_array_equal(stack.images[4:6], arrays(2, 5, masks=False).images[:, 0, 0])
    picture = correlation_picture(record, [stack])
    assert picture.title == "Correlation of slices, file data, regions, downsampling 1"
    found = np.asarray(picture.figure.axes[1].get_images()[0].get_array())
    np.testing.assert_allclose(found, correlations(stack.images))
