"""Set-up of all tests: one thread each, so that they neither compete for the cores nor differ in rounding; no time
limits of hypothesis, which a busy machine exceeds; and Ctrl-C is handled even if the tests were started in the
background, where it is ignored."""

import os
import signal

from hypothesis import HealthCheck, settings

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which reads it once; children inherit it
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("tx", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tx")
