"""Comparison of experiments: what differs by more than seeds and images explain. Knows no torch and no ray."""
