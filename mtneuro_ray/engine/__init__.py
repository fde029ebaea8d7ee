"""Training, checkpoints, evaluation and inference, on one or more workers of torch.distributed. No Ray."""
