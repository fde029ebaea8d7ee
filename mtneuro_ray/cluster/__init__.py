"""Where runs are executed: in this process, or on a Ray cluster. The only package that imports ray."""

import os

# Read when ray is imported. A cluster that is started here then listens on the loopback address alone: Ray does so only
# where it takes clusters of several machines for impossible, and replaces an address that it is given by the machine's.
# A cluster that is joined has its addresses already.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
