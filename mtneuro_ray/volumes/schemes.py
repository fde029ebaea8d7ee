"""Declarations of the built-in volume schemes, apart from their readers: a plan imports no BossDB client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mtneuro_ray.registry import Declaration
from mtneuro_ray.roi import Shape


def never(uri: str) -> bool:
    """No address of the scheme can be opened without a network."""
    return False


def always(uri: str) -> bool:
    """Every address of the scheme can be opened without a network."""
    return True


def in_folder(uri: str) -> bool:
    """Whether `SCHEME://...` names a folder of this machine."""
    return "://" not in uri.partition("://")[2]


@dataclass(frozen=True, kw_only=True)
class VolumeDeclaration(Declaration):
    """One URI scheme, of the same name as the declaration.

    `build` is called with the URI and the folder that relative paths start from, and returns a `VolumeSource`.

    Attributes:
        form: Pattern of its URIs.
        offline: Whether opening a URI needs no network and reads no voxels, so that `plan` can check its bounds.
        label_bytes: Bytes per voxel that are usually transferred for labels.
        known_shapes: URI prefix -> voxels along z, y, x, where they are known without a request.
    """

    form: str
    offline: Callable[[str], bool] = never
    label_bytes: int = 1
    known_shapes: Mapping[str, Shape] = field(default_factory=dict)


PHANTOM = VolumeDeclaration(
    name="phantom",
    summary="Built-in procedural thalamocortical volume with exact labels; needs no network.",
    build="mtneuro_ray.volumes.phantom:open_phantom",
    form="phantom://thalamocortical/image|roi_labels|pixel_labels?seed=N",
    offline=always,
    label_bytes=8,
)
BOSSDB = VolumeDeclaration(
    name="bossdb",
    summary="Channel of a BossDB service, as BOSSDB_HOST, BOSSDB_PROTOCOL, BOSSDB_TOKEN, BOSSDB_TIMEOUT_S say.",
    build="mtneuro_ray.volumes.bossdb:open_bossdb",
    form="bossdb://collection/experiment/channel",
    label_bytes=8,
    # Both projects of the benchmark share one coordinate frame.
    known_shapes={"bossdb://prasad/": (720, 1420, 5805)},
)
FILE = VolumeDeclaration(
    name="file",
    summary="A .npy array, a TIFF, OME-TIFF, PNG, NIfTI or HDF5 file, or a folder of numbered slices.",
    build="mtneuro_ray.volumes.files:open_file",
    form="file:PATH, file:FILE.h5#/PATH; ?channel=, ?level=, ?target_um=, ?voxel_size=, ?axes= may follow",
    offline=always,
)


def _chunked(name: str, summary: str) -> VolumeDeclaration:
    places = ("FOLDER", "s3://...", "gs://...", "https://...")
    options = "; ?channel=, ?level=, ?target_um=, ?voxel_size=, ?axes= may follow"
    return VolumeDeclaration(
        name=name,
        summary=summary,
        build="mtneuro_ray.volumes.chunked:open_chunked",
        form=", ".join(f"{name}://{place}" for place in places) + options,
        offline=in_folder,
    )


ZARR = _chunked("zarr", "Zarr array (version 2 or 3), or OME-Zarr image: its channels and levels, axes by name.")
N5 = _chunked("n5", "N5 data set, or a group of levels s0, s1, ...")
PRECOMPUTED = _chunked("precomputed", "Neuroglancer precomputed volume: its channels and scales.")
