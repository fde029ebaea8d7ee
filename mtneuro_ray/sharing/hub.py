"""Exported folders on the Hugging Face hub, through its own client, its token (`HF_TOKEN`) and its cache.

`HF_ENDPOINT` names another server than huggingface.co.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mtneuro_ray.errors import InputError
from mtneuro_ray.sharing.shared_folder import NORMALIZATION, PROGRAM, SETTINGS, WEIGHTS

_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?/?")
# What `load_model` needs; a repository may hold more, such as ONNX.
_LOADED = (WEIGHTS, SETTINGS, NORMALIZATION)
_SECRET_HINT = "a name of yours, and a token that may write in HF_TOKEN"


class Repository(NamedTuple):
    """A repository of the hub: `USER/NAME`, and a branch, tag or commit, or None for the latest."""

    name: str
    revision: str | None = None

    @classmethod
    def of(cls, address: str, option: str) -> Repository:
        """The repository of an address.

        Raises:
            InputError: it is none.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise InputError(f"{option}: {address!r} names no repository; accepted: hf://USER/NAME, or with @REVISION")
        return cls(found[1], found[2])


def push(folder: Path, address: str, run_id: str) -> str:
    """Upload an exported folder as one commit, into a repository that is made where there is none.

    A push of what is there already adds no commit.

    Returns:
        Address of the commit.

    Raises:
        InputError: the hub can't be reached, or refuses.
    """
    from huggingface_hub import HfApi

    repository = Repository.of(address, "--push")
    with _asking(f"--push: {address}", _SECRET_HINT):
        api = HfApi()
        api.create_repo(repository.name, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository.name,
            folder_path=folder,
            revision=repository.revision,
            commit_message=f"Run {run_id} of mtneuro_ray",
        )
    return str(commit.commit_url)


def download(address: str) -> Path:
    """Folder in the hub's cache that holds a repository's weights, settings and normalization.

    Raises:
        InputError: the hub can't be reached, or has no such repository.
    """
    from huggingface_hub import snapshot_download

    repository = Repository.of(address, "load_model")
    with _asking(address, "a repository of `mtneuro-ray export run --push`, and HF_TOKEN where it is private"):
        return Path(
            snapshot_download(repository.name, revision=repository.revision, allow_patterns=[*_LOADED, PROGRAM])
        )


@contextmanager
def _asking(where: str, accepted: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line.

    Raises:
        InputError: it raised anything.
    """
    from huggingface_hub import constants

    try:
        yield
    except InputError:
        raise
    except Exception as error:  # The client builds on a different HTTP library in each major version.
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
        raise InputError(f"{where}: {constants.ENDPOINT}: {reason}; accepted: {accepted}") from None
