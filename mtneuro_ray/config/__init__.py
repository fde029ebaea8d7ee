"""Settings: read from files, checked once at the edge, frozen from there on."""
