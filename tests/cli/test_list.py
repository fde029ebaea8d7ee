import json
from typing import Any

import pytest

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.loading import packaged_names
from mtneuro_ray.registry import KINDS, registry


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["list", *words, "--format", "json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_kind_are_listed_and_each_can_be_asked_for(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = registry(kind).names()
    rows = {row["name"]: row for row in listed(capsys, kind)}
    assert list(rows)[: len(names)] == names
    for name in names:
        assert listed(capsys, kind, name)[0] == {"what": "summary", "value": rows[name]["summary"]}


def test_a_model_has_its_keys_with_type_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["key"]: row for row in listed(capsys, "models", "UNet") if "key" in row}
    assert rows["model.start_filters"] == {
        "key": "model.start_filters",
        "type": "integer >= 1",
        "default": "32",
        "meaning": "Channels at full resolution; twice as many at each block below.",
    }


def test_every_key_of_the_package_s_settings_has_a_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [(kind, name) for kind in KINDS for name in registry(kind).names()]
    asked += [("networks", "SUP_ResNet-18_2D"), ("tasks", "task1"), ("spaces", "smoke")]
    rows = [(name, row) for kind, name in asked for row in listed(capsys, kind, name) if "meaning" in row]
    assert [(name, row["key"]) for name, row in rows if not row["meaning"]] == []


@pytest.mark.parametrize("kind", ["tasks", "networks", "spaces"])
def test_packaged_files_are_listed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [row["name"] for row in listed(capsys, kind)]
    assert names[-len(packaged_names(kind)) :] == packaged_names(kind)


def test_a_network_shows_its_values_beside_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["key"]: row for row in listed(capsys, "networks", "UNet_2D_3class")}
    assert (rows["classes"]["value"], rows["model.name"]["value"]) == ("3", '"UNet"')
    assert rows["optimizer.learning_rate"]["meaning"]


def test_a_space_shows_what_it_searches(capsys: pytest.CaptureFixture[str]) -> None:
    [row, *_] = listed(capsys, "spaces", "smoke")
    assert row["search"] == "grid over learning_rate: [0.003, 0.001]; batch_size: [1, 2]"


def test_a_pipe_gets_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "losses"]) == 0
    text = capsys.readouterr().out
    assert "\n| cross_entropy " in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["colors"], "KIND: is 'colors'; accepted: models, methods, tasks, networks"),
        (["models", "UNett"], "list models: 'UNett' is unknown; did you mean 'UNet'?; accepted: ResNet-18, "),
        (
            ["networks", "UNet_2D"],
            "UNet_2D: no such file and no such name; did you mean 'UNet_2D_4class'?",
        ),
        (["networkz"], "KIND: is 'networkz'; did you mean 'networks'?; accepted: models, methods, tasks"),
        (["networks", "unet_2d"], "unet_2d: no such file and no such name; did you mean 'UNet_2D_4class'?"),
        (["spaces", "byoll"], "byoll: no such file and no such name; did you mean 'task1/byol'?"),
        (["tasks", "tsk1"], "tsk1: no such file and no such name; did you mean 'task1'?"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", *words]) == 2
    assert text in capsys.readouterr().err
