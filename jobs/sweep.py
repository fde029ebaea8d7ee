"""Entry point of `ray job submit -- python jobs/sweep.py --space S --out DIR`: `mtneuro-ray sweep`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]]))
