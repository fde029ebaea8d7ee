from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.build import build_model
from mtneuro_ray.models.pretrained import State, check_encoder, fetch_encoder_weights, load_encoder_weights
from tests.models.hub_server import serving
from tests.models.training import assert_same_state
from tests.settings import network_settings

ROOT = Path(__file__).parents[2]
FETCH = """
import json, sys, torch
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.pretrained import fetch_encoder_weights
from tests.settings import network_settings

for number, changes in enumerate(json.loads(sys.argv[1])):
    try:
        torch.save(fetch_encoder_weights(network_settings(model="FPN", **changes)), f"{sys.argv[2]}/{number}.pt")
    except InputError as error:
        print(error)
"""


def library_encoder(name: str, in_channels: int = 3) -> nn.Module:
    from segmentation_models_pytorch.encoders import get_encoder

    encoder: nn.Module = get_encoder(name, in_channels=in_channels, weights=None)
    return encoder


def published(name: str) -> State:
    """What the library's repositories hold: the network for ImageNet, 3 channels, with its classifier."""
    torch.manual_seed(0)
    state: State = library_encoder(name).state_dict()
    state |= {"classifier.1.weight": torch.zeros(10, 4), "classifier.1.bias": torch.zeros(10)}
    return state


def loaded_by_the_library(name: str, state: State) -> nn.Module:
    """The library's own way from weights for 3 channels to an encoder for one."""
    encoder: Any = library_encoder(name)
    encoder.load_state_dict(dict(state))
    encoder.set_in_channels(1, pretrained=True)
    return encoder  # type: ignore[no-any-return]


def with_weights(weights: str | None, encoder: str = "mobilenet_v2", model: str = "FPN") -> NetworkSettings:
    return network_settings(model=model, encoder_name=encoder, encoder_weights=weights)


def test_nothing_is_fetched_where_weights_are_random_or_there_is_no_encoder() -> None:
    assert fetch_encoder_weights(with_weights(None)) is None
    assert fetch_encoder_weights(network_settings(model="UNet")) is None


def test_weights_are_downloaded_once_and_adapted_as_the_library_does(tmp_path: Path) -> None:
    import timm

    weights = published("mobilenet_v2")
    of_timm = timm.create_model("test_resnet").state_dict()
    files = {("smp-hub/mobilenet_v2.imagenet", "model.safetensors"): save(weights)}
    files |= {("timm/test_resnet.r160_in1k", "model.safetensors"): save(of_timm)}
    files |= {(repository, "config.json"): b"{}" for repository, _ in files}
    networks = [{"encoder_name": name} for name in ("mobilenet_v2", "mobilenet_v2", "tu-test_resnet", "vgg11")]
    with serving(files) as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", FETCH, json.dumps(networks), str(tmp_path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("encoder_weights: imagenet weights of vgg11 can't be downloaded (smp-hub/vgg11")
    assert len(done.stdout.splitlines()) == 1
    assert "404" in done.stdout
    from segmentation_models_pytorch.encoders import encoders

    revision = encoders["mobilenet_v2"]["pretrained_settings"]["imagenet"]["revision"]
    place = f"/smp-hub/mobilenet_v2.imagenet/resolve/{revision}/model.safetensors"
    assert hub.requests.count(f"GET {place}") == 1

    first, again, timms = (torch.load(tmp_path / f"{number}.pt") for number in range(3))
    assert_same_state(first, loaded_by_the_library("mobilenet_v2", weights).state_dict())
    assert_same_state(again, first)
    assert torch.equal(timms["model.layer1.0.conv1.weight"], of_timm["layer1.0.conv1.weight"])
    stem = next(iter(of_timm))
    torch.testing.assert_close(timms[f"model.{stem}"], of_timm[stem].sum(1, keepdim=True))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.fixture
def silent_address() -> Iterator[str]:
    """Something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def refuse(monkeypatch: pytest.MonkeyPatch, address: str) -> str:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr("mtneuro_ray.models.pretrained._HUB_ANSWERS_S", 0.2)
    with pytest.raises(InputError) as raised:
        fetch_encoder_weights(with_weights("imagenet", "efficientnet-b7"))
    return str(raised.value)


@pytest.mark.usefixtures("empty_cache")
def test_a_hub_out_of_reach_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refuse(monkeypatch, "http://127.0.0.1:1")
    assert message.startswith(
        "encoder_weights: imagenet weights of efficientnet-b7 can't be downloaded "
        "(smp-hub/efficientnet-b7.imagenet at http://127.0.0.1:1: "
    )
    assert message.endswith(
        "accepted: encoder_weights=null for random ones, or encoder_weights=file:PATH of that repository's "
        "model.safetensors"
    )
    assert "refused" in message


@pytest.mark.usefixtures("empty_cache")
def test_a_hub_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, silent_address: str) -> None:
    assert "timed out" in refuse(monkeypatch, silent_address)


@pytest.mark.usefixtures("empty_cache")
def test_offline_mode_of_the_hub_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline" in refuse(monkeypatch, "http://127.0.0.1:1")


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize(("status", "asked"), [(503, 2), (429, 2), (404, 1)])
def test_a_hub_that_fails_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch, status: int, asked: int) -> None:
    calls = []

    class AnswerError(Exception):
        response = SimpleNamespace(status_code=status)

    def fail_once(repository: str, name: str, revision: str | None) -> str:
        calls.append(name)
        if len(calls) == 1:
            raise AnswerError(f"answer {status}")
        raise FileNotFoundError("second answer")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail_once)
    monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=lambda *_, **__: None))
    told = refuse(monkeypatch, "http://127.0.0.1:1")
    assert len(calls) == asked
    assert ("second answer" if asked == 2 else f"answer {status}") in told


def write(path: Path, state: State) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("prefix", ["", "encoder.", "module.encoder."])
def test_a_file_of_three_channels_becomes_the_encoder_that_the_library_makes_of_it(
    suffix: str, prefix: str, tmp_path: Path
) -> None:
    weights = published("mobilenet_v2")
    path = write(tmp_path / f"w{suffix}", {prefix + key: value for key, value in weights.items()})
    random = torch.get_rng_state()
    state = fetch_encoder_weights(with_weights(f"file:{path}"))
    assert torch.equal(torch.get_rng_state(), random)
    assert state is not None
    expected = loaded_by_the_library("mobilenet_v2", weights)
    assert_same_state(state, expected.state_dict())


@pytest.mark.parametrize("encoder", ["mobileone_s0", "efficientnet-b0", "tu-test_resnet"])
def test_a_file_of_one_channel_is_taken_as_it_is(encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    own = build_model(with_weights(None, encoder)).get_submodule("encoder").state_dict()
    state = fetch_encoder_weights(with_weights(f"file:{write(tmp_path / 'own.pt', own)}", encoder))
    assert state is not None
    assert_same_state(state, own)


def test_every_convolution_of_the_image_is_adapted(tmp_path: Path) -> None:
    weights: State = library_encoder("mobileone_s0").state_dict()
    path = write(tmp_path / "w.pt", weights)
    state = fetch_encoder_weights(with_weights(f"file:{path}", "mobileone_s0"))
    assert state is not None
    assert_same_state(state, loaded_by_the_library("mobileone_s0", weights).state_dict())


@pytest.mark.parametrize("model", ["FPN", "PSPNet"])
def test_a_model_with_the_state_gives_the_features_of_the_library(model: str, tmp_path: Path) -> None:
    weights = published("mobilenet_v2")
    network = with_weights(f"file:{write(tmp_path / 'w.safetensors', weights)}", model=model)
    state = fetch_encoder_weights(network)
    assert state is not None
    torch.manual_seed(5)
    ours = build_model(network)
    frozen = [parameter.requires_grad for parameter in ours.parameters()]
    load_encoder_weights(ours, state)
    assert [parameter.requires_grad for parameter in ours.parameters()] == frozen
    import segmentation_models_pytorch as smp

    torch.manual_seed(5)
    library = getattr(smp, model)("mobilenet_v2", encoder_weights=None, in_channels=3, classes=network.classes)
    library.encoder.load_state_dict(dict(weights))
    library.encoder.set_in_channels(1, pretrained=True)
    library.decoder.load_state_dict(ours.get_submodule("decoder").state_dict())
    library.segmentation_head.load_state_dict(ours.get_submodule("segmentation_head").state_dict())
    image = torch.rand(2, 1, 128, 128)
    assert torch.equal(ours.eval()(image), library.eval()(image))
    # One grey channel counts as three equal ones.
    three = library_encoder("mobilenet_v2").eval()
    three.load_state_dict(dict(weights))
    grey = ours.get_submodule("encoder")(image)[1]
    torch.testing.assert_close(grey, three(image.expand(-1, 3, -1, -1))[1], rtol=1e-4, atol=1e-5)


def drop(state: State) -> State:
    return {key: value for key, value in state.items() if key != "features.0.1.bias"}


def reshape(state: State) -> State:
    return state | {"features.0.0.weight": torch.zeros(5, 3, 3, 3)}


def add(state: State) -> State:
    return state | {"decoder.weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, "features.0.1.bias is missing"),
        (reshape, r"features.0.0.weight has shape \(5, 3, 3, 3\), that of the encoder \(32, 1, 3, 3\)"),
        (add, "the encoder has no decoder.weight"),
        (lambda state: {}, "features.0.0.weight is missing"),
        (lambda state: state | {"epoch": 3}, "is no state dict"),
        (lambda state: [state], "is no state dict"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_what_is_wrong(
    change: Callable[[dict[str, Tensor]], Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "w.pt", change(published("mobilenet_v2")))
    with pytest.raises(InputError, match=f"^encoder_weights: {path}: {message}; accepted: "):
        fetch_encoder_weights(with_weights(f"file:{path}"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "missing.pt"])
def test_a_file_of_another_kind_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    (tmp_path / "w.pt").write_bytes(b"no weights")
    with pytest.raises(InputError, match=f"^encoder_weights: {tmp_path / name}: .*; accepted: a file .safetensors"):
        fetch_encoder_weights(with_weights(f"file:{tmp_path / name}"))


def test_weights_that_do_not_fit_a_model_are_refused() -> None:
    model = build_model(with_weights(None))
    state = dict(model.get_submodule("encoder").state_dict())
    state.pop("features.0.1.bias")
    with pytest.raises(RuntimeError, match="Missing key"):
        load_encoder_weights(model, state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_name": "resnet19"}, "encoder_name: 'resnet19' is no encoder of .*; accepted: such as resnet18, "),
        (
            {"model": "PAN", "encoder_name": "densenet121"},
            "encoder_name: PAN can't have densenet121: .*; accepted: another one",
        ),
        (
            {"encoder_weights": "noisy"},
            "encoder_weights: the library has no 'noisy' for resnet18; accepted: imagenet, ssl, swsl, null for random "
            "ones, file:PATH",
        ),
        (
            {"encoder_name": "tu-test_resnet", "encoder_weights": "noisy"},
            "encoder_weights: the library has no 'noisy' for tu-test_resnet; accepted: imagenet, null for random ones",
        ),
        ({"encoder_weights": "file:no.pt"}, "encoder_weights: no.pt: no such file; accepted: a file .safetensors, "),
        ({"encoder_weights": "file:w.onnx"}, "encoder_weights: w.onnx: is of an unknown kind; accepted: a file "),
    ],
)
def test_what_the_library_lacks_is_found_before_anything_runs(changes: dict[str, str], message: str) -> None:
    network = network_settings(**{"model": "FPN", "encoder_name": "resnet18", **changes})
    with pytest.raises(InputError, match=f"^net.json: {message}"):
        check_encoder(network, "net.json")


@pytest.mark.parametrize("encoder", ["resnet18", "tu-test_resnet"])
def test_what_the_library_has_passes_and_nothing_is_drawn(encoder: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.touch()
    random = torch.get_rng_state()
    for weights in ("imagenet", None, f"file:{path}"):
        check_encoder(with_weights(weights, encoder), "net.json")
    assert torch.equal(torch.get_rng_state(), random)
