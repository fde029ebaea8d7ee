"""Entry point of `ray job submit -- python jobs/predict.py --out DIR`: `mtneuro-ray predict`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
