"""Whether what was counted may be chance: Pearson's chi-square test. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def p_value(counts: Sequence[int]) -> float:
    """How often chance alone makes counts of equal shares differ as much as these, or more.

    >>> p_value([20, 20])
    1.0
    >>> p_value([40, 0]) < 1e-9
    True
    """
    share = sum(counts) / len(counts)
    if len(counts) < 2 or not share:
        return 1.0
    statistic = math.fsum((count - share) ** 2 for count in counts) / share
    return upper_tail(statistic, len(counts) - 1)


def upper_tail(statistic: float, degrees: int) -> float:
    """The chance that a chi-square variable of so many degrees of freedom is larger.

    Exact: a finite sum for whole degrees (Abramowitz and Stegun, 6.5.22 with 26.4.19).
    """
    x = statistic / 2
    if x <= 0:
        return 1.0
    half, odd = divmod(degrees, 2)
    first, whole = (0.5, math.erfc(math.sqrt(x))) if odd else (0.0, 0.0)
    terms = (first + step for step in range(half))
    return min(
        whole + math.fsum(math.exp(a * math.log(x) - x - math.lgamma(a + 1)) for a in terms), 1.0
    )
