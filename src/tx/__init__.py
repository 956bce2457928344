"""tx: from raw text to a working sequence model, and on into a shell pipeline."""

__version__ = "0.1.0"
