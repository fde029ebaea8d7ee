"""Additions to mtneuro_ray, each a declaration in one file."""
