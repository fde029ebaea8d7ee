"""Entry point of `ray job submit -- python jobs/report.py --out DIR`: `mtneuro-ray report`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
