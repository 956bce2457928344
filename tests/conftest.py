"""What all tests share: one thread each, so that they neither race for the cores nor differ in rounding, and a Ctrl-C
that is heard, also where what runs the tests was started in the background and ignores it."""

import os
import signal

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which reads it once; children inherit it
signal.signal(signal.SIGINT, signal.default_int_handler)
