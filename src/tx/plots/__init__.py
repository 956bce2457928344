"""Figures and pages from numbers: data in, PNG, SVG or HTML out. What a terminal shows is in `tx.cli`."""
