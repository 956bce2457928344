"""Former names of `tx.evaluate.significance`, for modules that have not been adapted yet."""

from tx.evaluate.significance import bootstrap as resampled_sums
from tx.evaluate.significance import confidence_interval as half_width
from tx.evaluate.significance import p_value

__all__ = ["half_width", "p_value", "resampled_sums"]
