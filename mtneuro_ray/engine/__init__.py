"""The training loop: a few functions over a `WorkerContext`. Knows torch and torch.distributed, and no ray."""
