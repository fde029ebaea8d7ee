"""Implementations of kinds of task, one class per kind: inputs, losses and predictions."""
