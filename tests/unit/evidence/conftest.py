"""The two parties of `parties.py` as fixtures."""

from collections.abc import Callable
from functools import partial

import pytest

from connector.evidence.receipts import Release
from schemas.strict_json import JsonObject
from tests.unit.evidence import parties


@pytest.fixture(scope="session")
def provider() -> parties.Signatory:
    return parties.PROVIDER


@pytest.fixture(scope="session")
def consumer() -> parties.Signatory:
    return parties.CONSUMER


@pytest.fixture(scope="session")
def documents() -> dict[str, JsonObject]:
    return parties.DOCUMENTS


@pytest.fixture(scope="session")
def make_statement() -> Callable[..., JsonObject]:
    return partial(parties.make_statement, parties.PROVIDER, parties.CONSUMER)


@pytest.fixture(scope="session")
def make_release() -> Callable[..., Release]:
    return partial(parties.make_release, parties.PROVIDER, parties.CONSUMER)
