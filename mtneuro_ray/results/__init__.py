"""Run files and what is derived from them: the best candidates and the tables. Knows no torch and no ray."""

from mtneuro_ray.results.query import Results

__all__ = ["Results"]
