"""Measured claims: each script prints ratios from one run."""
