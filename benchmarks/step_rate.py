"""Images per second of a training step of each segmentation model, and where its time goes.

2D models take the batch of the paper's Table A4 (4 classes), 3D models one sub-volume of 8 slices; cross-entropy, Adam,
random weights and random data. On a GPU as in training: bf16 autocast, channels-last and the fused optimizer. Kinds of
operators are shares of forward and backward, from torch.profiler.

    python -m benchmarks.step_rate [--device cuda] [--side 256] [--seconds S] [--encoder NAME] [--models NAME ...]

On a CPU the side is 128 by default, half the benchmark's, because HighResNet is slow there.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from mtneuro_ray.config.loading import load_network
from mtneuro_ray.config.network import NetworkSettings
from mtneuro_ray.methods.training.base import build_optimizer
from mtneuro_ray.models.build import build_model
from mtneuro_ray.models.dropout import DropoutKey, set_dropout_key

_NETWORKS = ("UNet_2D", "MAnet", "FPN", "UnetPlusPlus", "PAN", "PSPNet", "UNet_3D", "VNetLight", "HighResNet")
_SLICES = 8
_PARTS = ("forward", "backward", "optimizer")
_KINDS = {
    "convolution": "conv",
    "norm": "norm",
    "activation": "relu|elu|silu|sigmoid|threshold",
    "interpolation": "upsample",
    "pooling": "pool",
}
_TOP = 3


@dataclass(frozen=True)
class _Trainer:
    """One model with its optimizer and a batch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    image: Tensor
    target: Tensor

    def forward(self) -> Tensor:
        """The loss."""
        set_dropout_key(self.model, DropoutKey(seed=0, step=0, start=0, total=len(self.image)))
        with torch.autocast(self.image.device.type, dtype=torch.bfloat16, enabled=self.image.is_cuda):
            return F.cross_entropy(self.model(self.image), self.target)

    def step(self) -> list[float]:
        """Seconds of each part of one step."""
        marks = [self._now()]
        loss = self.forward()
        marks.append(self._now())
        torch.autograd.backward(loss)
        marks.append(self._now())
        self.optimizer.step()
        marks.append(self._now())
        self.optimizer.zero_grad()
        return [end - start for start, end in pairwise(marks)]

    def operators(self) -> Counter[str]:
        """Microseconds of each operator itself in one forward and backward, on the device that computes."""
        on_gpu = self.image.is_cuda
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=activities) as profiler:
            torch.autograd.backward(self.forward())
            self._now()
        times: Counter[str] = Counter()
        for event in profiler.key_averages():
            # On a GPU the time of a kernel stands with the operator that launches it, and once more by itself.
            if event.device_type.name == "CPU":
                own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
                times[event.key.removeprefix("aten::")] += own
        return times

    def _now(self) -> float:
        if self.image.is_cuda:
            torch.cuda.synchronize(self.image.device)
        return time.perf_counter()


def _network(name: str, encoder: str) -> NetworkSettings:
    """The settings of the paper for 4 classes, with random weights."""
    network, _ = load_network(f"{name}_4class")
    if not network.declaration.is_pretrained:
        return network
    return network.replace("--encoder", encoder_name=encoder, encoder_weights=None)


def _trainer(network: NetworkSettings, side: int, device: torch.device) -> _Trainer:
    torch.manual_seed(0)
    shape = (network.data.batch_size, *[_SLICES] * (network.model.dim - 2), side, side)
    image = torch.rand(shape).unsqueeze(1).to(device)
    model = build_model(network).to(device)
    if network.model.dim == 2:
        model, image = model.to(memory_format=torch.channels_last), image.to(memory_format=torch.channels_last)
    target = torch.randint(network.classes, shape).to(device)
    return _Trainer(model.train(), build_optimizer(network.optimizer, model.parameters(), device), image, target)


def _parts(trainer: _Trainer, seconds: float) -> list[float]:
    """Median seconds of forward, backward and optimizer over about `seconds`, after one uncounted step."""
    trainer.step()
    steps: list[list[float]] = []
    while not steps or sum(map(sum, steps)) < seconds:
        steps.append(trainer.step())
    return [statistics.median(part) for part in zip(*steps, strict=True)]


def _kind(operator: str) -> str:
    return next((kind for kind, pattern in _KINDS.items() if re.search(pattern, operator.lower())), "other")


def _row(name: str, network: NetworkSettings, trainer: _Trainer, seconds: float) -> str:
    parts, operators = _parts(trainer, seconds), trainer.operators()
    whole = operators.total()
    of_kind: Counter[str] = Counter()
    for operator, value in operators.items():
        of_kind[_kind(operator)] += value
    shares = [part / sum(parts) for part in parts] + [of_kind[kind] / whole for kind in (*_KINDS, "other")]
    top = ", ".join(f"{operator} {value / whole:.0%}" for operator, value in operators.most_common(_TOP))
    rate = f"{network.data.batch_size / sum(parts):.3g}"
    return _line([name, str(network.data.batch_size), rate, *(f"{share:.0%}" for share in shares), top])


def _line(candidates: list[str]) -> str:
    return f"| {' | '.join(candidates)} |"


def main() -> None:
    """Print one line of a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--models", nargs="+", choices=_NETWORKS, default=_NETWORKS)
    parser.add_argument("--encoder", default="efficientnet-b7")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timed steps of each model, one step at least")
    options = parser.parse_args()
    torch.set_num_threads(1)
    side = options.side or (256 if options.device.type == "cuda" else 128)
    device = torch.cuda.get_device_name(options.device) if options.device.type == "cuda" else "CPU, one thread"
    networks = {name: _network(name, options.encoder) for name in options.models}
    for name, network in networks.items():
        rule = network.declaration.size_rule(network.model)
        if not rule.accepts(side):
            parser.error(f"--side: {side} does not pass through {name}; accepted: {rule}")
    print(f"torch {torch.__version__}, {device}, {side} x {side}, 3D: {_SLICES} slices, encoder {options.encoder}\n")
    print(_line(["model", "batch", "images/s", *_PARTS, *_KINDS, "other", "operators"]))
    print(_line(["---"] * (5 + len(_PARTS) + len(_KINDS))))
    for name, network in networks.items():
        print(_row(name, network, _trainer(network, side, options.device), options.seconds), flush=True)


if __name__ == "__main__":
    main()
