"""The command line `mtneuro-ray`. Commands import what they need when they run, so that `--help` is instant."""
