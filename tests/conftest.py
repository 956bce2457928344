"""What all tests share: one thread each, so that they neither race for the cores nor differ in rounding."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which reads it once; children inherit it
