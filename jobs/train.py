"""Entry point of `ray job submit -- python jobs/train.py --task T --network N --out DIR`: `mtneuro-ray train`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
