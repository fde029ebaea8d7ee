"""Initial weights of encoders: published by segmentation_models_pytorch or timm, or from a file of the user."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.errors import InputError
from mtneuro_ray.models.library import LibrarySettings
from mtneuro_ray.models.nets.library import build, check_encoder_name, library_network
from mtneuro_ray.retry import TransientError, persist

State = dict[str, Tensor]

_SUFFIXES = (".safetensors", ".pt", ".pth")
_HUB_FILES = ("config.json", "model.safetensors")
# Seconds for a first question to the hub. Its client goes on trying for minutes where nobody answers.
_HUB_ANSWERS_S = 5.0
_ATTEMPTS = 4


def check_encoder(network: NetworkSettings, where: str) -> None:
    """Check that a network can be built with its library encoder and that the weights exist; nothing is downloaded.

    Raises:
        InputError: one line that names the key and what the library has instead.
    """
    settings = cast(LibrarySettings, network.model)
    try:
        check_encoder_name(settings.encoder_name)
        _check_weights(settings)
        with torch.random.fork_rng(devices=[]):
            build(settings, network.classes)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check_weights(settings: LibrarySettings) -> None:
    weights, file = settings.encoder_weights, settings.encoder_file
    if file is not None:
        if not file.endswith(_SUFFIXES) or not Path(file).is_file():
            wrong = "no such file" if file.endswith(_SUFFIXES) else "is of an unknown kind"
            raise InputError(f"encoder_weights: {file}: {wrong}; accepted: a file {', '.join(_SUFFIXES)}")
    elif weights is not None and weights not in (names := _published(settings.encoder_name)):
        accepted = ", ".join([*names, "null for random ones", "file:PATH"])
        raise InputError(
            f"encoder_weights: the library has no {weights!r} for {settings.encoder_name}; accepted: {accepted}"
        )


def _published(encoder_name: str) -> dict[str, tuple[str, str | None]]:
    """Weights that there are for an encoder: name -> repository on the hub, and its revision if one is pinned."""
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if not encoder_name.startswith("tu-"):
        known = encoders[encoder_name]["pretrained_settings"]
        return {name: (each["repo_id"], each["revision"]) for name, each in known.items()}
    # The weights of timm are chosen by a tag in the encoder's own name.
    name = encoder_name.removeprefix("tu-")
    if not timm.models.is_model_pretrained(name):
        return {}
    found = timm.models.get_pretrained_cfg(name)
    return {"imagenet": (str(found and found.hf_hub_id), None)}


def fetch_encoder_weights(network: NetworkSettings) -> State | None:
    """The state of the encoder that a network starts from, for its `in_channels`; None for random weights.

    Published weights are downloaded into the cache of the Hugging Face hub, at the revision that the library pins,
    unless they lie there. Those of 3 channels are summed over them where the image has one.

    Raises:
        InputError: they cannot be downloaded, or the file is not one of this encoder.
    """
    if not network.starts_pretrained:
        return None
    settings = cast(LibrarySettings, network.model)
    weights: str | bool | None = None
    if settings.encoder_file is None:
        _download(settings)
        # timm's weights have no name here: any that is no string means them.
        weights = True if settings.encoder_name.startswith("tu-") else settings.encoder_weights
    with torch.random.fork_rng(devices=[]):
        model = library_network(settings, network.classes, weights)
    encoder = model.get_submodule("encoder")
    if settings.encoder_file is not None:
        _load_file(encoder, settings.encoder_file)
    state: State = encoder.state_dict()
    return state


def load_encoder_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the state from `fetch_encoder_weights` into the encoder of a model.

    Raises:
        RuntimeError: a key is missing, or has another shape.
    """
    # A copy: encoders of the library take keys out of what they load.
    model.get_submodule("encoder").load_state_dict(dict(state))


def _download(settings: LibrarySettings) -> None:
    """Bring published weights into the hub's cache, where the library looks for them."""
    from huggingface_hub import constants, get_session, try_to_load_from_cache

    repository, revision = _published(settings.encoder_name)[str(settings.encoder_weights)]
    if all(isinstance(try_to_load_from_cache(repository, name, revision=revision), str) for name in _HUB_FILES):
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_ANSWERS_S)
        for name in _HUB_FILES:
            persist(partial(_download_file, repository, name, revision), f"{repository}/{name}", _ATTEMPTS)
    except Exception as error:  # The hub's client builds on a different HTTP library in each major version.
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise InputError(
            f"encoder_weights: {settings.encoder_weights} weights of {settings.encoder_name} can't be downloaded "
            f"({repository} at {constants.ENDPOINT}: {reason}); accepted: encoder_weights=null for random ones, or "
            f"encoder_weights=file:PATH of that repository's {_HUB_FILES[-1]}"
        ) from None


def _download_file(repository: str, name: str, revision: str | None) -> None:
    """Bring one file into the hub's cache.

    Raises:
        TransientError: the hub is overloaded, or failed on its side.
    """
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(repository, name, revision=revision)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None and (status == 429 or status >= 500):
            raise TransientError(f"status {status}") from error
        raise


def _load_file(encoder: nn.Module, path: str) -> None:
    """Load a file into an encoder: its own state, or that of the same one for images of 3 channels."""
    wanted: State = encoder.state_dict()
    state = _without_prefix(_read(path), wanted)
    for key, tensor in state.items():
        # As the library does with the weights that it downloads: a grey image is one of three equal channels.
        if key in wanted and tensor.shape[1:2] == (3,) and tensor[:, :1].shape == wanted[key].shape:
            state[key] = tensor.sum(1, keepdim=True)
    try:
        encoder.load_state_dict(state)
    except RuntimeError:
        raise InputError(
            f"encoder_weights: {path}: {_first_difference(state, wanted)}; accepted: the state of this encoder"
        ) from None


def _read(path: str) -> State:
    from safetensors.torch import load_file

    try:
        state = load_file(path) if path.endswith(".safetensors") else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # Parsers of foreign bytes raise anything.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"encoder_weights: {path}: can't be read ({reason}); accepted: a file {', '.join(_SUFFIXES)}"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(f"encoder_weights: {path}: is no state dict; accepted: names and tensors alone")
    return state


def _without_prefix(state: State, wanted: State) -> State:
    """The state without what all of its names begin with, such as "encoder.", unless the encoder has such names."""
    prefixes = {key.partition(".")[0] if "." in key else "" for key in state}
    if len(prefixes) != 1 or "" in prefixes or wanted.keys() & state.keys():
        return state
    return _without_prefix({key.partition(".")[2]: tensor for key, tensor in state.items()}, wanted)


def _first_difference(state: State, wanted: State) -> str:
    for key, tensor in wanted.items():
        if key not in state and not key.endswith("num_batches_tracked"):
            return f"{key} is missing"
        if key in state and state[key].shape != tensor.shape:
            return f"{key} has shape {tuple(state[key].shape)}, that of the encoder {tuple(tensor.shape)}"
    return f"the encoder has no {next(key for key in state if key not in wanted)}"
