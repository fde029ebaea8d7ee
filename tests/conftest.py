import os

from hypothesis import settings

# Before anything imports torch: small tensors on many threads are slow, and slower still beside the workers of a test.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test is judged by the clock: the machines that run them are shared.
settings.register_profile("mtneuro", deadline=None)
settings.load_profile("mtneuro")
