"""Replacements for modules that OpenNMT-py imports for text filters, which are not used here; import this first."""

import sys
from types import ModuleType

for name in ("ahocorasick", "fasttext", "spacy"):
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = ModuleType(name)
