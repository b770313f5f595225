"""A region for each test, as it stands after publishing or after both contracts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.region.participants import FORECASTING, Region, constraint, copied, running, stages, until


@pytest.fixture(scope="session")
def region_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages(tmp_path_factory.getbasetemp() / "region")


@pytest.fixture
async def published(region_stages: Path, tmp_path: Path) -> AsyncIterator[Region]:
    """One provider and the consumer; the provider has published, and the consumer has read its catalog."""
    region = copied(region_stages / "published", tmp_path / "region")
    async with running(region, region.rheinaue, region.lastwerk):
        yield region


@pytest.fixture
async def contracted(region_stages: Path, tmp_path: Path) -> AsyncIterator[Region]:
    """One provider and the consumer, with a contract."""
    region = copied(region_stages / "agreed", tmp_path / "region")
    async with running(region, region.rheinaue, region.lastwerk):
        yield region


@pytest.fixture
async def agreed(region_stages: Path, tmp_path: Path) -> AsyncIterator[Region]:
    """Both providers have a contract with the consumer."""
    async with running(copied(region_stages / "agreed", tmp_path / "region")) as region:
        yield region


@pytest.fixture
async def sandboxed(region_stages: Path, tmp_path: Path) -> AsyncIterator[Region]:
    """The same, and every query runs in a sandboxed process, as it does outside tests."""
    region = copied(region_stages / "agreed", tmp_path / "region")
    async with running(region, sandboxed_queries=True):
        yield region


RAW_OFFER = {
    "@type": "Offer",
    "permission": [
        {
            "action": "use",
            "constraint": [constraint("purpose", "isA", FORECASTING), constraint("count", "lteq", "2")],
        }
    ],
}


@pytest.fixture
async def raw(region_stages: Path, tmp_path: Path) -> AsyncIterator[Region]:
    """One provider whose offer permits two uses of any kind, and a consumer with a contract on it."""
    region = copied(region_stages / "published", tmp_path / "region")
    async with running(region, region.rheinaue, region.lastwerk):
        await region.publish(region.rheinaue, offer=RAW_OFFER)
        await region.read_catalog(region.rheinaue)
        assert (await region.negotiate(region.rheinaue))["state"] == "FINALIZED"
        await until(lambda: len(region.rheinaue.state()["ledger"]) == 1)
        yield region
