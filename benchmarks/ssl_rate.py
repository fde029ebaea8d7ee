"""Images per second of a training step of Task 1: supervised, with mixup, BYOL, MYOW and MYOW-m; PCA and NMF fitted.

The fits of the engine take their own steps on random tiles of 256 px at each downsampling, in turn; every batch of the
mixup row is mixed. "mining" is the share of a step that encoding the pool and searching it take. On a GPU (bf16
autocast, channels-last) two columns more: a plain fp32 loop fed by a DataLoader of 4 workers, and our step on inputs
that lie on the device already. PCA and NMF, which scikit-learn fits, are timed on a CPU alone.

    python -m benchmarks.ssl_rate [--device cuda] [--batch B] [--steps N] [--downsampling 4 2 1] [--compile]

On a CPU the batch is 8, not 256, only downsampling 4 is timed by default.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import take_turns
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.context import WorkerContext
from mtneuro_ray.data.resident import ResidentSplit
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.profile import endless_steps, now
from mtneuro_ray.methods.training.base import Method, Setup, SteppedMethod
from mtneuro_ray.methods.training.byol import TargetNetwork
from mtneuro_ray.methods.training.myow import MyowMerged
from mtneuro_ray.models.build import build_model, placed
from mtneuro_ray.models.nets.resnet import EncoderClassifier
from mtneuro_ray.tasks.training.classification import ClassificationTask

_TASKS = {4: "task1_x4", 2: "task1", 1: "task1_x1"}
_NETWORKS = {
    "supervised": "SUP_ResNet-18_2D",
    "mixup": "SUP_Mixup_ResNet-18_2D",
    "BYOL": "SSL_BYOL_ResNet-18_2D",
    "MYOW": "SSL_MYOW_ResNet-18_2D",
    "MYOW-m": "SSL_MYOWMerged_ResNet-18_2D",
}
_DECOMPOSITIONS = ("PCA", "NMF")
_LOADERS = 4
_RATE = 1e-3


class _ReadyTask(ClassificationTask):
    """Inputs of a shape are made once."""

    def __init__(self, run: RunSettings) -> None:
        super().__init__(run)
        self._ready: dict[torch.Size, Tensor] = {}

    def inputs(self, images: Tensor) -> Tensor:
        if images.shape not in self._ready:
            self._ready[images.shape] = super().inputs(images).clone()
        return self._ready[images.shape]


class _Clocked(MyowMerged):
    """Notes when the pool is encoded and searched."""

    mining_seconds = 0.0

    def _encode_pool(self, *arguments: Any) -> Any:
        return self._timed(super()._encode_pool, *arguments)

    def _mined(self, *arguments: Any) -> Tensor:
        return cast(Tensor, self._timed(super()._mined, *arguments))

    def _timed(self, function: Callable[..., Any], *arguments: Any) -> Any:
        started = now(self.context.device)
        found = function(*arguments)
        self.mining_seconds += now(self.context.device) - started
        return found


class _Tiles(Dataset[tuple[Tensor, Tensor, int]]):
    """What one would write first: two random crops of half the side of an image (or twice the whole), and its label."""

    def __init__(self, arrays: SplitArrays, crops: bool) -> None:
        self._arrays, self._crops = arrays, crops

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        image = torch.from_numpy(self._arrays.images[index, 0])
        return self._view(image), self._view(image), int(self._arrays.labels[index])

    def _view(self, image: Tensor) -> Tensor:
        if self._crops:
            side = image.shape[-1] // 2
            top, left = torch.randint(0, side + 1, (2,)).tolist()
            image = image[:, top : top + side, left : left + side]
        return image.float() / 255


def _arrays(images: int, side: int) -> SplitArrays:
    random = np.random.default_rng(0)
    return SplitArrays(
        images=random.integers(0, 256, (images, 1, 1, side, side), np.uint8),
        masks=None,
        labels=random.integers(0, 4, images),
        regions=np.zeros(images, np.int64),
        region_names=("CTX",),
    )


def _run(network: str, downsampling: int, options: argparse.Namespace) -> RunSettings:
    pair = load_pair(_TASKS[downsampling], network, volume="phantom")
    changes: dict[str, Any] = {"data.batch_size": options.batch, "compute.compile": options.compile}
    if "Mixup" in network:
        changes["method.mixup_probability"] = 1.0
    return RunSettings(task=pair.task, network=pair.network.replace("--", **changes), role="candidate", data=("none",))


def _setup(run: RunSettings, arrays: SplitArrays, device: torch.device, *, ready: bool = False) -> Setup:
    """What a method works with; with `ready`, on inputs that lie on the device."""
    torch.manual_seed(0)
    task = (_ReadyTask if ready else ClassificationTask)(run)
    module = placed(build_model(run.network), run.network, device).train()
    return Setup(task, module, {"train": ResidentSplit(arrays, device)}, WorkerContext(device=device))


def _method(run: RunSettings, arrays: SplitArrays, device: torch.device, *, ready: bool = False) -> SteppedMethod:
    """The method of a run; one that mines views notes how long that takes."""
    built = run.network.method_declaration.resolve()
    if issubclass(built, MyowMerged):
        built = type("Clocked", (_Clocked, built), {})
    method: SteppedMethod = built(_setup(run, arrays, device, ready=ready))
    return method


def _plain_steps(run: RunSettings, arrays: SplitArrays, device: torch.device) -> Iterator[None]:
    """Steps of the loop that one would write first, in fp32: supervised, or BYOL with a forward pass for each view."""
    classifier = cast(EncoderClassifier, build_model(run.network))
    module: nn.Module = classifier
    if run.network.method.name == "byol":
        module = TargetNetwork(classifier.encoder, classifier.head.in_features, (4096, 256))
    module = module.to(device).train()
    optimizer = torch.optim.SGD((p for p in module.parameters() if p.requires_grad), lr=_RATE, momentum=0.9)
    loader = DataLoader(
        _Tiles(arrays, crops=module is not classifier),
        run.network.data.batch_size,
        shuffle=True,
        num_workers=_LOADERS,
        persistent_workers=True,
        drop_last=True,
    )
    while True:
        for first, second, labels in loader:
            if isinstance(module, TargetNetwork):
                loss = _plain_byol(module, first.to(device), second.to(device))
            else:
                features = F.dropout(classifier.features(first.to(device)), 0.2)
                loss = F.cross_entropy(classifier.head(features), labels.to(device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            if isinstance(module, TargetNetwork):
                for own, followed in zip(module.target.parameters(), module.online.parameters(), strict=True):
                    own.data.mul_(0.99).add_(followed.data, alpha=0.01)
            now(device)
            yield


def _plain_byol(module: TargetNetwork, first: Tensor, second: Tensor) -> Tensor:
    predictions = [module(view)[1] for view in (first, second)]
    with torch.no_grad():
        targets = [module.target.projector(module.target.encoder(view)) for view in (second, first)]
    cosines = [F.cosine_similarity(own, other).mean() for own, other in zip(predictions, targets, strict=True)]
    return 4 - 2 * cosines[0] - 2 * cosines[1]


def _mining_share(method: SteppedMethod, steps: Iterator[None], count: int) -> str:
    """Share of mining in the median of `count` steps."""
    if not isinstance(method, _Clocked):
        return "-"
    shares = []
    for _ in range(count):
        method.mining_seconds, started = 0.0, time.perf_counter()
        next(steps)
        shares.append(method.mining_seconds / (time.perf_counter() - started))
    return f"{statistics.median(shares):.1%}"


def _compare(downsampling: int, options: argparse.Namespace) -> None:
    """Lines of the table for one downsampling."""
    arrays, device = _arrays(options.images, 256 // downsampling), options.device
    for name, network in _NETWORKS.items():
        run = _run(network, downsampling, options)
        method = _method(run, arrays, device)
        steps = endless_steps(method, _RATE)
        contenders = {"ours": steps}
        if device.type == "cuda":
            contenders["ready"] = endless_steps(_method(run, arrays, device, ready=True), _RATE)
            if name in ("supervised", "BYOL"):
                contenders["plain"] = _plain_steps(run, arrays, device)
        # The first step is not counted, nor are those that compile or choose algorithms.
        for _ in range(options.warmup):
            for contender in contenders.values():
                next(contender)
        seconds = take_turns({key: contender.__next__ for key, contender in contenders.items()}, options.steps)
        ours = options.batch / seconds["ours"]
        candidates = [str(downsampling), name, str(options.batch), f"{ours:.4g}"]
        candidates.append(_mining_share(method, steps, options.steps))
        for key in ("plain", "ready") if device.type == "cuda" else ():
            other = seconds.get(key)
            candidates.append("-" if other is None else f"{options.batch / other:.4g}, {other / seconds['ours']:.2f} x")
        print(_line(candidates), flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _decompose(downsampling: int, options: argparse.Namespace) -> None:
    """Lines for the fits of PCA and NMF, in scikit-learn on the CPU."""
    cpu = torch.device("cpu")
    arrays = _arrays(options.images, 256 // downsampling)
    for name in _DECOMPOSITIONS:
        run = _run(name, downsampling, options)
        method: Method = run.network.method_declaration.resolve()(_setup(run, arrays, cpu))
        started = time.perf_counter()
        method.fit()
        rate = options.images / (time.perf_counter() - started)
        print(_line([str(downsampling), name, f"{options.images} at once", f"{rate:.4g}", "-"]), flush=True)


def _line(candidates: list[str]) -> str:
    return f"| {' | '.join(candidates)} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--images", type=int, help="of the split; twice the batch by default")
    parser.add_argument("--steps", type=int, help="that are timed")
    parser.add_argument("--warmup", type=int, help="steps that are not")
    parser.add_argument("--downsampling", type=int, nargs="+", choices=_TASKS)
    parser.add_argument("--compile", action="store_true", help="torch.compile our models")
    options = parser.parse_args()
    on_gpu = options.device.type == "cuda"
    options.batch = options.batch or (256 if on_gpu else 8)
    options.images = options.images or 2 * options.batch
    options.steps = options.steps or (20 if on_gpu else 3)
    options.warmup = options.warmup or (5 if on_gpu else 1)
    options.downsampling = options.downsampling or ([4, 2, 1] if on_gpu else [4])
    return options


def main() -> None:
    """Print one line of a table for each method and downsampling."""
    options = _options()
    torch.set_num_threads(1)
    on_gpu = options.device.type == "cuda"
    device = torch.cuda.get_device_name(options.device) if on_gpu else "CPU, one thread"
    print(f"torch {torch.__version__}, {device}, tiles of 256 px, median of {options.steps} steps\n")
    head = ["downsampling", "method", "batch", "images/s", "mining"]
    head += ["plain loop, ours is", "ready inputs, ours is"] if on_gpu else []
    print(_line(head))
    print(_line(["---"] * len(head)))
    for downsampling in options.downsampling:
        _compare(downsampling, options)
        if not on_gpu:
            _decompose(downsampling, options)


if __name__ == "__main__":
    main()
