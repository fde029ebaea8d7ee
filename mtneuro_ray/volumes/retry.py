"""Bounded, jittered retries of a remote read: the package's own policy."""

from mtneuro_ray.retry import LONGEST_PAUSE_S, TransientError, persist

__all__ = ["LONGEST_PAUSE_S", "TransientError", "persist"]
