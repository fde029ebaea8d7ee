from hypothesis import settings

# No test is judged by the clock: the machines that run them are shared.
settings.register_profile("mtneuro", deadline=None)
settings.load_profile("mtneuro")
