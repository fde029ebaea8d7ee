"""Volumes: where voxels come from, one contract for every scheme."""
