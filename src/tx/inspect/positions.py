"""Sinusoidal positional encodings, and the similarity of positions as a function of distance.

The dot product of two positions depends on their distance alone, since `sin a sin b + cos a cos b = cos(a - b)`: it
is the mean of the cosines of all frequencies at that distance (Vaswani et al. 2017, section 3.5).
"""

import numpy as np
from numpy.typing import NDArray

from tx.errors import UsageError
from tx.nn.position import sinusoids

Array = NDArray[np.float32]
LAYOUTS = {
    "interleaved": "sine, cosine, sine, cosine ..., as in the paper",
    "concatenated": "all sines, then all cosines, as in tensor2tensor",
}


def encodings(length: int, d_model: int) -> dict[str, Array]:
    """The encodings of the first `length` positions in each layout, `[length, d_model]`.

    Raises UsageError for an odd `d_model`.
    """
    if d_model % 2:
        raise UsageError(f"--d-model must be even, got {d_model}", "use an even number")
    return {layout: sinusoids(length, d_model, layout).numpy() for layout in LAYOUTS}


def similarity(encoding: Array) -> Array:
    """The cosine similarity of two positions by their distance, from 0 to `length - 1`."""
    units = encoding / np.linalg.norm(encoding, axis=1, keepdims=True)
    products = units @ units.T
    return np.array([np.diagonal(products, k).mean() for k in range(len(encoding))], np.float32)
