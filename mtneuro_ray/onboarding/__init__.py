"""A first look at a volume, and the files to train on it: boxes, network and tune space fitted to data and machine."""
