"""What tests of several kinds share."""

from collections.abc import Iterator

import pytest

from tests.postgres import running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server of our own, with `{}` for a database's name; see `new_database`."""
    with running_server() as server:
        yield server
