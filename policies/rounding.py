"""Rounding: counts leave as multiples of a base, so that small differences between answers vanish.

A mean keeps its value to three digits, and a sum is that mean times the rounded
count, so that the exact count cannot be had by dividing one by the other.

Limitation: rounding blurs, it does not protect alone. Where values are whole
numbers, three digits of a mean can tell the count of a small group.

Source:
    A. Hundepool et al., Statistical Disclosure Control, 2012, section 5.5.
"""

from typing import Final

_DIGITS: Final = 3


def rounded_count(count: int, base: int) -> int:
    """Give the nearest multiple of the base; at least one base, since a group that is shown is not empty.

    Args:
        count: How many.
        base: To multiples of what; a tie goes to the even multiple.
    """
    return max(1, round(count / base)) * base


def rounded_sum(total: float, count: int, base: int) -> float:
    """Give the rounded mean times the rounded count.

    Args:
        total: The exact sum.
        count: How many values it has; at least one.
        base: The base to which counts are rounded.
    """
    return float(f"{total / count:.{_DIGITS}g}") * rounded_count(count, base)


def rounded_spread(squares: float, count: int, base: int) -> float:
    """Give the squared distances from the mean that keep the variance at the rounded count, to three digits.

    Args:
        squares: The exact sum of squared distances.
        count: How many values it has.
        base: The base to which counts are rounded.
    """
    variance = squares / (count - 1) if count > 1 else 0.0
    return float(f"{variance:.{_DIGITS}g}") * (rounded_count(count, base) - 1)
