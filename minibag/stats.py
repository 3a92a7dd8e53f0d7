"""How sure a measured rate is."""

from __future__ import annotations

from scipy.stats import binomtest


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval (low, high) that a true rate lies in, given ``right`` of ``total``.

    Stays within 0..1 and keeps its promise near both ends, where the usual rate +- 2 standard
    errors does not (Wilson, JASA 22, 1927).

    Raises
    ------
    ValueError
        If not 0 <= right <= total, total is 0, or confidence is not between 0 and 1.
    """
    if not (0 <= right <= total and total > 0 and 0 < confidence < 1):
        raise ValueError(
            "an interval needs 0 <= right <= total, total > 0 and 0 < confidence < 1, "
            f"got right={right}, total={total}, confidence={confidence}"
        )
    interval = binomtest(int(right), int(total)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
