from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mtneuro_ray.models.sync_norm import GlobalBatchNorm, synchronise_norms
from tests.workers import Workers

SPLITS = ((3, 2), (5, 0), (0, 5))
NORMS: dict[str, tuple[type[nn.Module], tuple[int, ...], dict[str, Any]]] = {
    "1d": (nn.BatchNorm1d, (), {}),
    "2d": (nn.BatchNorm2d, (4, 6), {"momentum": None}),
    "3d": (nn.BatchNorm3d, (2, 4, 6), {"affine": False}),
    "untracked": (nn.BatchNorm2d, (4, 6), {"track_running_stats": False}),
}
STEPS = 2
Result = dict[str, Tensor]


def make_norm(kind: str) -> nn.Module:
    norm, _, options = NORMS[kind]
    torch.manual_seed(0)
    module = norm(3, **options)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def make_batch(kind: str, step: int) -> tuple[Tensor, Tensor]:
    """Features whose mean is large against their spread, and a gradient of the output."""
    generator = torch.Generator().manual_seed(step)
    shape = (5, 3, *NORMS[kind][1])
    return torch.randn(shape, generator=generator) + 30, torch.randn(shape, generator=generator)


def run_norm(norm: nn.Module, kind: str, rows: slice) -> Result:
    """Output and gradients of these rows in the last of a few steps, then the running statistics."""
    for step in range(STEPS):
        norm.zero_grad()
        features, output_gradient = (part[rows] for part in make_batch(kind, step))
        features.requires_grad_()
        output = norm(features)
        torch.autograd.backward(output, output_gradient)
    assert features.grad is not None
    gradients = {f"grad {name}": p.grad.clone() for name, p in norm.named_parameters() if p.grad is not None}
    buffers = {f"buffer {name}": buffer.clone() for name, buffer in norm.named_buffers()}
    return {"output": output.detach(), "input gradient": features.grad, **gradients, **buffers}


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Flatten()
    ).double()


def train_network(network: nn.Module, rows: slice, world: int) -> None:
    """Steps of SGD on the mean over the whole batch; DDP divides the gradients by `world`."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(STEPS):
        features = make_batch("2d", step)[0].double()
        loss = (network(features[rows]) - features[rows, :1, 0, 0]).square().mean(1).sum() * world / 5
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def worker(rank: int, folder: str) -> None:
    results: dict[object, Result] = {}
    for split in SPLITS:
        rows = slice(0, split[0]) if rank == 0 else slice(split[0], 5)
        for kind in NORMS:
            results[kind, split] = run_norm(synchronise_norms(make_norm(kind)), kind, rows)
        network = synchronise_norms(make_network())
        train_network(DistributedDataParallel(network), rows, world=2)
        results["ddp", split] = network.state_dict()
    torch.save(results, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def ranks(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> list[dict[object, Result]]:
    folder = tmp_path_factory.mktemp("ranks")
    workers.run(worker, str(folder))
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", NORMS)
def test_ranks_together_equal_batch_norm_on_the_whole_batch(
    kind: str, split: tuple[int, int], ranks: list[dict[object, Result]]
) -> None:
    expected = run_norm(make_norm(kind), kind, slice(None))
    parts = [rank[kind, split] for rank in ranks]
    assert parts[0].keys() == parts[1].keys() == expected.keys()
    for name, value in expected.items():
        both = [part[name] for part in parts]
        if name.startswith("buffer"):
            assert torch.equal(both[0], both[1])
            merged = both[0]
        else:
            merged = both[0] + both[1] if name.startswith("grad") else torch.cat(both)
        torch.testing.assert_close(merged, value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("split", SPLITS)
def test_a_network_trained_by_two_ranks_equals_one_trained_by_one(
    split: tuple[int, int], ranks: list[dict[object, Result]]
) -> None:
    network = make_network()
    train_network(network, slice(None), world=1)
    expected = network.state_dict()
    for rank in ranks:
        assert list(rank["ddp", split]) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(rank["ddp", split][name], value)


def assert_same_as_batch_norm(kind: str) -> None:
    expected = run_norm(make_norm(kind), kind, slice(None))
    result = run_norm(synchronise_norms(make_norm(kind)), kind, slice(None))
    assert all(torch.equal(result[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", NORMS)
def test_without_a_process_group_it_is_batch_norm_bit_for_bit(kind: str) -> None:
    assert_same_as_batch_norm(kind)


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("kind", NORMS)
def test_with_one_rank_it_is_batch_norm_bit_for_bit(kind: str) -> None:
    assert_same_as_batch_norm(kind)


def test_evaluation_is_batch_norm_bit_for_bit() -> None:
    features, _ = make_batch("2d", 0)
    norm = make_norm("2d")
    norm(features)
    expected = norm.eval()(features)
    assert torch.equal(synchronise_norms(norm)(features), expected)


def test_conversion_shares_parameters_and_keeps_the_keys() -> None:
    network = make_network().eval()
    keys, parameters = list(network.state_dict()), list(network.parameters())
    converted = synchronise_norms(network)
    assert list(converted.state_dict()) == keys
    assert all(new is old for new, old in zip(converted.parameters(), parameters, strict=True))
    assert isinstance(converted.get_submodule("1"), GlobalBatchNorm)
    assert not converted.get_submodule("1").training


def test_too_few_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 axes; accepted: \(N, C, \.\.\.\)"):
        GlobalBatchNorm(3)(torch.zeros(3))
