"""`python -m mtneuro_ray`: the command line."""

import sys

from mtneuro_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
