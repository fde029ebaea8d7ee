from dataclasses import replace

import pytest

from mtneuro_ray.models import MODELS
from tests.engine.data import small_classifier


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is tested, not the eleven million weights of ResNet-18."""
    small = replace(MODELS.find("ResNet-18"), build=small_classifier)
    monkeypatch.setitem(MODELS._found, "ResNet-18", small)
