import pytest


@pytest.fixture(autouse=True)
def no_store_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTNEURO_STORE", raising=False)
