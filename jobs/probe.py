"""Entry point of `ray job submit -- python jobs/probe.py --space S --out TABLE.json`: `mtneuro-ray probe`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["probe", *sys.argv[1:]]))
