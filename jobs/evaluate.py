"""Entry point of `ray job submit -- python jobs/evaluate.py --task T --out DIR`: `mtneuro-ray evaluate`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
