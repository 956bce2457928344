"""Word vectors without torch: stored, searched, and exchanged with other tools."""

from tx.vectors.store import TASK, open_vectors, read_vectors, write_blocks, write_vectors
from tx.vectors.word_vectors import WordVectors

__all__ = ["TASK", "WordVectors", "open_vectors", "read_vectors", "write_blocks", "write_vectors"]
