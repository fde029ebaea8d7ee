"""PCA and NMF as modules against scikit-learn's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import nnls
from sklearn.decomposition import NMF, PCA
from torch import Tensor

from mtneuro_ray.errors import TrainingError
from mtneuro_ray.models.encoders import DecompositionSettings
from mtneuro_ray.models.nets.decomposition import Decomposition, build
from mtneuro_ray.models.nets.resnet import EncoderClassifier

Floats = npt.NDArray[np.float32]
Kind = Literal["PCA", "NMF"]
KINDS: tuple[Kind, ...] = ("PCA", "NMF")


def classifier(kind: Kind, components: int, classes: int = 4) -> EncoderClassifier:
    return build(DecompositionSettings(name=kind, components=components), classes)


over_kinds = pytest.mark.parametrize("kind", KINDS)
# What makes scikit-learn's PCA take each of its ways: the whole decomposition, that of the covariance, a randomised
# one, which alone heeds the seed.
SIZES = {"full": (40, 30), "covariance": (320, 30), "randomised": (60, 600)}
over_sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def images_of(count: int, pixels: int, seed: int = 0, parts: int = 6, noise: float = 0.02) -> Floats:
    """Sums of a few parts, which are non-negative and the same for every seed, with noise: (count, pixels)."""
    shapes = np.random.default_rng(99).random((parts, pixels)) ** 4
    random = np.random.default_rng(seed)
    images = random.gamma(1.0, 1.0, (count, parts)) * np.linspace(1.0, 0.4, parts) @ shapes
    found: Floats = np.abs(images + noise * random.normal(size=images.shape)).astype(np.float32)
    return found


def tensor(images: Floats) -> Tensor:
    """(N, pixels) as the encoder gets them: (N, 1, 5, pixels / 5)."""
    return torch.from_numpy(images).reshape(len(images), 1, 5, -1)


def fitted(kind: Kind, images: Floats, components: int, seed: int = 0) -> Decomposition:
    model = Decomposition(kind, components)
    model.fit(images, seed)
    return model


def peer(kind: Kind, components: int, seed: int = 0) -> Any:
    if kind == "PCA":
        return PCA(components, random_state=seed)
    return NMF(components, init="nndsvda", max_iter=200, random_state=seed)


@over_sizes
def test_pca_features_are_those_of_scikit_learn(size: tuple[int, int]) -> None:
    images, unseen = images_of(*size), images_of(7, size[1], seed=1)
    model, other = fitted("PCA", images, 5, seed=3), peer("PCA", 5, seed=3)
    expected = other.fit_transform(images)
    features = model(tensor(images))
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(features, other.transform(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(tensor(unseen)), other.transform(unseen), rtol=1e-4, atol=1e-5)


@over_sizes
def test_nmf_features_are_those_of_scikit_learn(size: tuple[int, int]) -> None:
    images, unseen = images_of(*size), images_of(7, size[1], seed=1)
    model, other = fitted("NMF", images, 5, seed=3), peer("NMF", 5, seed=3).fit(images)
    features = model(tensor(images))
    assert features.dtype == torch.float32
    np.testing.assert_allclose(model.basis, other.components_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(features, other.transform(images), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(tensor(unseen)), other.transform(unseen), rtol=1e-5, atol=1e-6)


def test_nmf_features_are_close_to_the_non_negative_least_squares_of_each_image_alone() -> None:
    images, unseen = images_of(40, 30), images_of(7, 30, seed=1)
    model = fitted("NMF", images, 5)
    basis = model.basis.numpy().astype(np.float64)
    exact = [nnls(basis.T, image.astype(np.float64))[0] for image in unseen]
    assert np.min(exact) == 0
    np.testing.assert_allclose(model(tensor(unseen)), exact, atol=0.01 * np.max(exact))


def test_the_reconstruction_by_nmf_is_not_negative_and_as_near_as_that_of_scikit_learn() -> None:
    images = images_of(40, 30)
    model = fitted("NMF", images, 6)
    weights = model(tensor(images))
    reconstructed = (weights @ model.basis).numpy()
    assert weights.min() >= 0
    assert model.basis.min() >= 0
    assert reconstructed.min() >= 0
    error = np.linalg.norm(images - reconstructed)
    assert error == pytest.approx(peer("NMF", 6).fit(images).reconstruction_err_, rel=0.02)
    assert error < 0.1 * np.linalg.norm(images - images.mean(0))


@over_kinds
def test_features_are_the_same_where_networks_calculate_in_bf16(kind: Kind) -> None:
    model, shown = fitted(kind, images_of(40, 30), 5), tensor(images_of(7, 30, seed=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (shown.flatten(1) @ model.basis.T).dtype == torch.bfloat16
        features = model(shown)
    assert torch.equal(features, model(shown))


def test_the_reconstruction_by_pca_is_that_of_scikit_learn() -> None:
    images = images_of(40, 30)
    model, other = fitted("PCA", images, 5), peer("PCA", 5).fit(images)
    reconstructed = (model(tensor(images)) @ model.basis + model.mean).numpy()
    np.testing.assert_allclose(reconstructed, other.inverse_transform(other.transform(images)), rtol=1e-3, atol=1e-4)
    assert np.linalg.norm(images - reconstructed) < 0.3 * np.linalg.norm(images - images.mean(0))


@over_kinds
@pytest.mark.parametrize(("count", "pixels"), [(7, 30), (40, 10)], ids=["images", "pixels"])
def test_where_images_or_pixels_are_fewer_than_components_the_last_features_are_zero(
    kind: Kind, count: int, pixels: int
) -> None:
    images, unseen = images_of(count, pixels, parts=12), images_of(5, pixels, seed=1, parts=12)
    model, least = fitted(kind, images, 16), min(count, pixels)
    assert model.basis.shape == (least, pixels)
    assert model.mean.shape == (pixels,)
    for some in (images, unseen):
        features = model(tensor(some))
        assert features.shape == (len(some), 16)
        assert not features[:, least:].any()
        # The images less their mean span one dimension less than there are images.
        assert features[:, : least - 1].abs().amax(0).min() > 0
        expected = peer(kind, least).fit(images).transform(some)
        np.testing.assert_allclose(features[:, : least - 1], expected[:, : least - 1], rtol=1e-3, atol=1e-4)


@over_kinds
def test_images_of_another_size_are_refused_with_both_sizes(kind: Kind) -> None:
    with pytest.raises(TrainingError, match=rf"^{kind}: was fitted to 0 pixels, not to 30$"):
        Decomposition(kind, 4)(torch.zeros(2, 1, 5, 6))
    model = fitted(kind, images_of(40, 30), 4)
    assert model(torch.zeros(2, 1, 6, 5)).shape == (2, 4)
    for size in (20, 35):
        with pytest.raises(TrainingError, match=rf"^{kind}: was fitted to 30 pixels, not to {size}$"):
            model(torch.zeros(2, 1, 5, size // 5))


@over_kinds
@pytest.mark.parametrize("before", [None, 20], ids=["fresh", "fitted to another size"])
def test_a_classifier_that_is_saved_and_loaded_gives_the_same_numbers_bit_for_bit(
    tmp_path: Path, kind: Kind, before: int | None
) -> None:
    images = images_of(40, 30)
    saved, loaded = classifier(kind, 4, 3), classifier(kind, 4, 3)
    saved.encoder.fit(images, 0)  # type: ignore[operator]
    if before is not None:
        loaded.encoder.fit(images_of(3, before), 1)  # type: ignore[operator]
    torch.save(saved.state_dict(), tmp_path / "weights.pt")
    loaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True), strict=True)
    shown = tensor(images_of(7, 30, seed=1))
    assert saved.features(shown).any()
    assert torch.equal(loaded.features(shown), saved.features(shown))
    assert torch.equal(loaded(shown), saved(shown))


@over_kinds
def test_the_components_are_part_of_the_state(kind: Kind) -> None:
    model = fitted(kind, images_of(40, 30), 4)
    state = model.state_dict()
    assert list(state) == ["mean", "basis"]
    with pytest.raises(RuntimeError, match="Missing key"):
        Decomposition(kind, 4).load_state_dict({"mean": state["mean"]}, strict=True)


@over_kinds
def test_the_same_seed_gives_the_same_basis_whatever_was_drawn_before(kind: Kind) -> None:
    images = images_of(*SIZES["randomised"])
    first = fitted(kind, images, 5, seed=3)
    np.random.rand(3)
    torch.rand(3)
    second, other = fitted(kind, images, 5, seed=3), fitted(kind, images, 5, seed=4)
    assert torch.equal(second.basis, first.basis)
    assert torch.equal(second.mean, first.mean)
    assert not torch.equal(other.basis, first.basis)


@over_kinds
def test_a_fit_leaves_the_images_as_they_are(kind: Kind) -> None:
    images = images_of(40, 30)
    before = images.copy()
    model = fitted(kind, images, 5)
    model(tensor(images))
    np.testing.assert_array_equal(images, before)


@over_kinds
def test_classifiers_have_a_feature_per_component_and_a_logit_per_class(kind: Kind) -> None:
    for components, classes in ((4, 3), (50, 2)):
        model = classifier(kind, components, classes)
        encoder = model.encoder
        assert isinstance(encoder, Decomposition)
        assert (encoder.kind, encoder.components) == (kind, components)
        encoder.fit(images_of(40, 30), 0)
        shown = tensor(images_of(7, 30, seed=1))
        assert model.features(shown).shape == (7, components)
        assert (model.head.in_features, model.head.out_features) == (components, classes)
        assert model(shown).shape == (7, classes)
    assert classifier(kind, 256).head.weight.shape == (4, 256)
