"""The public Python API: what the commands do, for scripts and notebooks. `mtneuro_ray` re-exports it."""
