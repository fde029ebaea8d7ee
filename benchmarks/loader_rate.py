"""Images per second that reach the training loop, against a plain Dataset + DataLoader and a bare memory copy.

All deliver the same batches: float images in [0, 1] and int64 labels or masks, shuffled, from a split in memory.

    python -m benchmarks.loader_rate [--images N] [--batch B] [--rounds R]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import take_turns
from mtneuro_ray.config.pairs import load_pair
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.data.resident import Batch, ResidentSplit
from mtneuro_ray.data.samples import SplitArrays
from mtneuro_ray.engine.fit import global_batches
from mtneuro_ray.rng import epoch_order
from mtneuro_ray.tasks.training.segmentation import SegmentationTask

_CPU = torch.device("cpu")
_NOTHING = nn.Identity()


class _PlainDataset(Dataset[tuple[Tensor, Tensor]]):
    """What one would write first: an item is converted when it is asked for, the loader stacks items."""

    def __init__(self, split: SplitArrays) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(self._split.images[index, 0]).float() / 255
        if self._split.masks is None:
            return image, torch.tensor(self._split.labels[index])
        return image, torch.from_numpy(self._split.masks[index]).long()


def _split(images: int, side: int, masks: bool) -> SplitArrays:
    random = np.random.default_rng(0)
    shape = (images, 1, side, side)
    return SplitArrays(
        images=random.integers(0, 256, shape, np.uint8)[:, np.newaxis],
        masks=random.integers(0, 4, shape, np.uint8) if masks else None,
        labels=random.integers(0, 4, images),
        regions=np.zeros(images, np.int64),
        region_names=("CTX",),
    )


class _Delivering(SegmentationTask):
    """The training loop's own conversions, with nothing behind them."""

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs = self.inputs(batch.images)
        return inputs if batch.masks is None else self._target(inputs, batch.masks)[0]


def _ours(task: _Delivering, resident: ResidentSplit, batch_size: int) -> None:
    for indices in global_batches(epoch_order(len(resident), 0, 0), batch_size):
        task.losses(_NOTHING, resident.gather(indices))


def _task() -> _Delivering:
    pair = load_pair("task2_2D_4class", "UNet_2D_4class", volume="phantom")
    return _Delivering(RunSettings(task=pair.task, network=pair.network, role="candidate", data=("none",)))


def _drain(loader: DataLoader[tuple[Tensor, Tensor]]) -> None:
    for _ in loader:
        pass


def _compare(name: str, split: SplitArrays, batch_size: int, rounds: int) -> None:
    resident, task = ResidentSplit(split, _CPU), _task()
    dataset = _PlainDataset(split)
    source = split.images if split.masks is None else np.stack([split.images[:, 0], split.masks])
    target = np.empty_like(source)
    seconds = take_turns(
        {
            "ours": lambda: _ours(task, resident, batch_size),
            "DataLoader": lambda: _drain(DataLoader(dataset, batch_size, shuffle=True)),
            "DataLoader, 2 workers": lambda: _drain(DataLoader(dataset, batch_size, shuffle=True, num_workers=2)),
            "bare copy": lambda: np.copyto(target, source),
        },
        rounds,
    )
    print(f"\n{name}: {len(split)} images, batch {batch_size}, {torch.get_num_threads()} thread(s)")
    for contender, value in seconds.items():
        print(f"  {contender:22} {len(split) / value:12.0f} images/s   ours is {value / seconds['ours']:7.2f} x")


def main() -> None:
    """Print rates and ratios for the images of Task 1 and Task 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    _compare("Task 1, 128 x 128", _split(options.images, 128, masks=False), options.batch, options.rounds)
    _compare("Task 2, 256 x 256 with masks", _split(options.images, 256, masks=True), options.batch, options.rounds)


if __name__ == "__main__":
    main()
