"""Attacks on running participants use the same regions as `tests/region`."""

from tests.region.conftest import agreed, contracted, published, region_stages

__all__ = ["agreed", "contracted", "published", "region_stages"]
