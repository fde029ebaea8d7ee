"""Entry point of `ray job submit -- python jobs/profile_space.py --space S --out TABLE.json`: `mtneuro-ray profile`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["profile", *sys.argv[1:]]))
