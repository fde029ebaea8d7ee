"""A shared run pushed to, and loaded from, a loopback hub by the real client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import mtneuro_ray
from mtneuro_ray.errors import InputError
from mtneuro_ray.sharing.hub import Repository, push
from mtneuro_ray.sharing.shared_folder import export_run
from tests.sharing.test_shared_folder import finished
from tests.sharing.writable_hub import TOKEN, WritableHub, serving


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    from huggingface_hub import constants

    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_a_run_that_was_pushed_loads_as_its_model_and_a_second_push_adds_nothing(
    hub: WritableHub, tmp_path: Path
) -> None:
    record, results = finished(tmp_path / "out")
    files, _ = export_run(record, results, tmp_path / "shared")
    assert hub.address in push(tmp_path / "shared", "hf://somebody/unet", record.run_id)
    [(message, names)] = hub.commits
    assert message == f"Run {record.run_id} of mtneuro_ray"
    assert sorted(names) == sorted(path.name for path in files)
    push(tmp_path / "shared", "hf://somebody/unet", record.run_id)
    assert len(hub.commits) == 1
    loaded, own = mtneuro_ray.load_model("hf://somebody/unet"), results.model(record.run_id)
    assert loaded.scaling == own.scaling
    inputs = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded(inputs), own(inputs))


def test_what_the_hub_refuses_is_one_line(hub: WritableHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"^hf://somebody/absent: http://127\S+: .*; accepted: a repository of"
    ) as told:
        mtneuro_ray.load_model("hf://somebody/absent")
    assert "\n" not in str(told.value)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    (tmp_path / "shared").mkdir()
    with pytest.raises(
        InputError, match=r"^--push: hf://somebody/unet: http://.*; accepted: .* in HF_TOKEN"
    ) as refused:
        push(tmp_path / "shared", "hf://somebody/unet", "id")
    assert "hf_wrong" not in str(refused.value)


@pytest.mark.parametrize("text", ["hf://me", "hf://a/b/c", "somebody/unet", "hf://a b/c", "hf://a/b@"])
def test_an_address_that_names_no_repository_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no repository; accepted: hf://USER/NAME"):
        Repository.of(text, "--push")


def test_a_revision_may_stand_behind_the_name() -> None:
    assert Repository.of("hf://some-body/unet_2d.v1@v1.0", "--push") == ("some-body/unet_2d.v1", "v1.0")
