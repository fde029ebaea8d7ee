from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from mtneuro_ray import registry
from mtneuro_ray.config.base import Settings
from mtneuro_ray.config.loading import apply_overrides, load_network
from mtneuro_ray.config.owners import ModelSettings
from mtneuro_ray.models import MODELS
from mtneuro_ray.models.base import ModelDeclaration
from mtneuro_ray.registry import KINDS
from tests.config.checks import refused
from tests.settings import network_settings, network_values, write_json


class Window(Settings):
    """A table within a model's own."""

    side: int = 3
    shape: Literal["hann", "flat"] = "hann"


class WindowedSettings(ModelSettings):
    """Settings with a key that is required and a table."""

    depth: int
    window: Window = Window()


WINDOWED = ModelDeclaration(
    name="windowed",
    summary="A model of a plugin.",
    build="tests.test_registry:nothing",
    settings=WindowedSettings,
    predicts=("voxel",),
)
NO_DECLARATION = 5

Installed = Callable[[dict[str, str]], None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """Entry points of the group `mtneuro_ray.models`, as of an installed package."""
    points: dict[str, str] = {}
    monkeypatch.setattr(registry, "_entry_points", lambda group: points if group == "mtneuro_ray.models" else {})
    yield points.update
    for name in points:
        MODELS._found.pop(name, None)
        MODELS._broken.discard(name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_package_declares_goes_by_its_own_name_and_can_be_built(kind: str) -> None:
    found = registry.registry(kind)
    assert list(found.all()) == found.names()
    for name, declaration in found.all().items():
        assert declaration.name == name
        assert declaration.summary
        assert callable(declaration.resolve())


def test_an_entry_point_is_found_by_its_name_and_hides_none_of_the_package(installed: Installed) -> None:
    installed({"windowed": "tests.test_registry:WINDOWED", "UNet": "tests.test_registry:WINDOWED"})
    assert MODELS.find("windowed") is WINDOWED
    assert MODELS.find("UNet") is not WINDOWED
    assert MODELS.names()[-1] == "windowed"
    assert MODELS.names().count("UNet") == 1


def test_an_address_is_found_without_being_installed() -> None:
    assert MODELS.find("tests.test_registry:WINDOWED") is WINDOWED
    network = network_settings(model={"name": "tests.test_registry:WINDOWED", "depth": 2}, n_blocks=2)
    assert network.declaration is WINDOWED


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Unet", [" is unknown; did you mean 'UNet'?; accepted: ResNet-18", "'package.module:name'"]),
        ("no.such:thing", ["(no.such:thing) can't be imported (ModuleNotFoundError", "an installed package"]),
        ("tests.test_registry:nothing", ["can't be imported (AttributeError"]),
        ("tests.test_registry:NO_DECLARATION", ["is a int; accepted: a ModelDeclaration"]),
        (":", ["can't be imported (ValueError"]),
        (".here:thing", ["can't be imported (TypeError"]),
        ("ends:now", ["can't be imported (SystemExit"]),
    ],
)
def test_a_name_that_leads_to_no_declaration_is_one_line(
    name: str, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with refused(f"n.json: model.name: {name!r}", *parts):
        MODELS.find(name, "n.json: model.name")


def test_a_broken_plugin_blocks_only_whoever_names_it(
    installed: Installed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    installed({"broken": "no.such:thing", "windowed": "tests.test_registry:WINDOWED"})
    # A key of another model: all models are asked for it.
    path = write_json(tmp_path / "n.json", network_values(dropout=0.1))
    assert load_network(path)[0] == load_network(path)[0] == network_settings()
    told = [message for message in caplog.messages if "no.such:thing" in message]
    assert len(told) == 1
    assert "windowed" in MODELS.all()
    with refused("--set: model.name: 'broken' (no.such:thing) can't be imported"):
        apply_overrides(network_settings(), ["model=broken"])


def test_keys_in_tables_of_a_plugin_s_settings_go_by_their_paths(installed: Installed) -> None:
    installed({"windowed": "tests.test_registry:WINDOWED"})
    # A required key comes beside the name of its model.
    network = apply_overrides(network_settings(), ["model=windowed", "depth=4", "model.window.side=5", "shape=flat"])
    paths = {path: value for path, value in network.paths().items() if path.startswith("model.")}
    assert paths == {
        "model.name": "windowed",
        "model.in_channels": 1,
        "model.dim": 2,
        "model.depth": 4,
        "model.window.side": 5,
        "model.window.shape": "flat",
    }
    assert apply_overrides(network, ["side=7"]).paths() == {**network.paths(), "model.window.side": 7}
    with refused("--set: model.window.side: is 'x'"):
        apply_overrides(network, ["side=x"])
    with refused("--set: model.depth: is missing; this key is required"):
        apply_overrides(network_settings(), ["model=windowed"])
