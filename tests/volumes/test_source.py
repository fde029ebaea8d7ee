"""What every volume must do, whatever it is read from, and how schemes are found."""

from __future__ import annotations

import importlib.metadata
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mtneuro_ray import registry
from mtneuro_ray.errors import InputError, SourceError
from mtneuro_ray.roi import Roi
from mtneuro_ray.volumes import VOLUMES
from mtneuro_ray.volumes.conformance import VolumeConformance
from mtneuro_ray.volumes.schemes import VolumeDeclaration
from mtneuro_ray.volumes.source import declaration_of, open_volume, scheme_of
from tests.volumes.sources import MemoryVolume

RAMP = VolumeDeclaration(
    name="ramp",
    summary="Grey values that count voxels.",
    build="tests.volumes.test_source:open_ramp",
    form="ramp://SIDE",
)
NO_SCHEME = 5


def open_ramp(uri: str, base: Path) -> MemoryVolume:
    side = int(uri.rpartition("://")[2])
    return MemoryVolume(np.arange(side**3, dtype=np.uint16).reshape(side, side, side), f"ramp {side}")


class TestBuiltIn(VolumeConformance):
    """The suite that plugins run, over one volume of each built-in kind (the fixture `case`)."""


def test_every_built_in_scheme_is_declared_under_its_name() -> None:
    for name in VOLUMES.names():
        declaration = VOLUMES.find(name)
        assert declaration.name == name
        assert declaration.form.startswith(f"{name}:")
        assert callable(declaration.resolve())


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package with an entry point of the group `mtneuro_ray.volumes`."""
    point = importlib.metadata.EntryPoint("ramp", "tests.volumes.test_source:RAMP", "mtneuro_ray.volumes")
    monkeypatch.setattr(registry, "_entry_points", lambda group: {point.name: point.value})
    yield
    VOLUMES._found.pop("ramp", None)


@pytest.mark.usefixtures("installed")
def test_a_scheme_of_an_installed_package_is_opened_by_its_name() -> None:
    assert "ramp" in VOLUMES.names()
    assert declaration_of("ramp://3") is RAMP
    assert open_volume("ramp://3").read(Roi((2, 3), (2, 3), (0, 3))).tolist() == [[[24, 25, 26]]]


def test_a_scheme_may_be_named_by_its_import_path() -> None:
    uri = "tests.volumes.test_source:RAMP://2"
    assert scheme_of(uri) == "tests.volumes.test_source:RAMP"
    assert open_volume(uri).shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("zar://x", "'zar' is unknown; did you mean 'zarr'?; accepted: phantom, bossdb, file, zarr"),
        ("ftp:x", "'ftp' is unknown; accepted: phantom"),
        ("image.npy", "the scheme is missing; accepted: an address that starts with phantom:, bossdb:, file:"),
        ("nowhere.at.all:X://x", "can't be imported (ModuleNotFoundError"),
        ("tests.volumes.test_source:NO_SCHEME://x", "is a int; accepted: a VolumeDeclaration"),
    ],
)
def test_an_unknown_scheme_names_the_known_ones(uri: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        open_volume(uri)
    assert str(caught.value).startswith(f"{uri}: ")
    assert words in str(caught.value)


def test_whatever_a_plugin_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_volume("tests.volumes.test_source:RAMP://2")

    def fail(*_: object) -> None:
        raise SystemError("deep\ninside")

    monkeypatch.setattr(source, "_read", fail)
    with pytest.raises(SourceError, match=r"^memory:ramp 2: box z0-1\S+ cannot be read: SystemError: deep inside$"):
        source.read(Roi((0, 1), (0, 1), (0, 1)))
    monkeypatch.setattr("tests.volumes.test_source.open_ramp", fail)
    with pytest.raises(SourceError, match=r"RAMP://2: cannot be opened: SystemError: deep inside$"):
        open_volume("tests.volumes.test_source:RAMP://2")


def test_a_source_that_returns_another_shape_is_an_error() -> None:
    source = pickle.loads(pickle.dumps(open_volume("tests.volumes.test_source:RAMP://2")))
    source._voxels = source._voxels[:, :, :1]
    with pytest.raises(SourceError, match=r"came back as uint16 \(2, 2, 1\), not uint16 \(2, 2, 2\)"):
        source.read(Roi((0, 2), (0, 2), (0, 2)))
