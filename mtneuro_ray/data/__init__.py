"""Volumes, the cutout store and the samples that training reads. Knows no torch and no ray."""
