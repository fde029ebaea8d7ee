"""Which runs a sweep consists of. Pure: no Ray, no torch."""
