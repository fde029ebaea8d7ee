"""Entry point of `ray job submit -- python jobs/ingest.py --task T --store DIR`: `mtneuro-ray ingest`."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["ingest", *sys.argv[1:]]))
