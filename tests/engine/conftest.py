import pytest

from mtneuro_ray.models import registry


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is tested, not the eleven million weights of ResNet-18."""
    monkeypatch.setitem(registry.MODELS, "ResNet-18", "tests.engine.data:small_classifier")
