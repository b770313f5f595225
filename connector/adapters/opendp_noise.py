"""Noise from OpenDP: its discrete Laplace mechanism, over whole numbers, from the system's secure randomness.

Limitation: how long drawing takes is not hidden.

Source:
    OpenDP, `make_laplace` over vectors of integers (C. Canonne, G. Kamath, T. Steinke,
    The Discrete Gaussian for Differential Privacy, 2020, algorithm 2).
"""

import asyncio
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol

from policies.privacy import SensitiveFigures

_WHOLE: Final = "i64"
_WIDE: Final = (0.5, 2.0)
"""Where the scale is looked for, as multiples of sensitivity over epsilon."""


class _Mechanism(Protocol):
    """A measurement of OpenDP."""

    def __call__(self, values: Sequence[int]) -> Sequence[int]:
        """Values with noise."""
        ...

    def map(self, sensitivity: int) -> float:
        """What it costs at a sensitivity."""
        ...


class NoiseError(Exception):
    """OpenDP does not promise what was asked of it; nothing may leave."""


class OpendpNoise:
    """Draws noise; implements `connector.ports.Noise`."""

    @classmethod
    def where_installed(cls) -> "OpendpNoise | None":
        """A source of noise; None where the extra `dp` is not installed."""
        return cls() if find_spec("opendp") is not None else None

    async def add(self, figures: SensitiveFigures) -> tuple[int, ...]:
        """Give figures with noise.

        Raises:
            NoiseError: OpenDP does not certify the epsilon that was asked for.
        """
        return await asyncio.to_thread(_add, figures)


def _add(figures: SensitiveFigures) -> tuple[int, ...]:
    if not figures.values:
        return ()
    mechanism = _mechanism(figures.sensitivity, figures.epsilon)
    return tuple(int(value) for value in mechanism(list(figures.values)))


@lru_cache(maxsize=256)
def _mechanism(sensitivity: int, epsilon: Decimal) -> _Mechanism:
    """The mechanism with the least noise that costs no more than epsilon, as OpenDP certifies it."""
    # Loaded by its name: it is an optional extra, and takes as long to load as all the rest of a connector.
    dp = import_module("opendp.prelude")
    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T=_WHOLE))
    metric = dp.l1_distance(T=_WHOLE)
    # A decimal number has no exact binary fraction: the one below it.
    most = math.nextafter(float(epsilon), 0.0)
    middle = sensitivity / most

    def at(scale: float) -> _Mechanism:
        made: _Mechanism = dp.m.make_laplace(domain, metric, scale=scale)
        return made

    bounds = tuple(middle * factor for factor in _WIDE)
    scale = dp.binary_search_param(at, d_in=sensitivity, d_out=most, bounds=bounds)
    mechanism = at(scale)
    if not mechanism.map(sensitivity) <= most:
        raise NoiseError(f"OpenDP certifies no epsilon of {epsilon} at a sensitivity of {sensitivity}.")
    return mechanism
