"""What stands in for the engines where there is no sandbox: everything is refused, with the reason."""

from pathlib import Path

import pyarrow as pa

from connector.protocol.jobs import ComputationOutcome, Job, JobRefusedError
from connector.queries.errors import QueryFailedError


class NoEngine:
    """Refuses queries and computations, because nothing of others runs unconfined.

    Args:
        reason: Why there is no sandbox, and the remedy.
    """

    tier = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def start(self) -> None:
        """Nothing to start."""

    async def aclose(self) -> None:
        """Nothing to stop."""

    async def run_job(self, job: Job) -> ComputationOutcome:
        """Refuse a job."""
        del job
        sentence = "The provider has no sandbox at present, so it runs no algorithms."
        raise JobRefusedError("", {"de": "Der Anbieter hat zurzeit keine Sandbox.", "en": sentence})


class NoQueries(NoEngine):
    """Implements `connector.ports.QueryEngine`."""

    async def run(self, statement: str, *, table: str, projection: Path, timeout_seconds: float) -> pa.Table:
        """Refuse a query."""
        del statement, table, projection, timeout_seconds
        raise QueryFailedError(
            "The provider has no sandbox at present, so it answers no queries.",
            "Der Anbieter hat zurzeit keine Sandbox, also beantwortet er keine Abfragen.",
        )


class NoCompute(NoEngine):
    """Implements `connector.ports.ComputeBackend` and `connector.ports.JobFolders`."""

    async def clear(self) -> int:
        """Leave everything as it is: what jobs have left is for a connector that can run them."""
        return 0

    async def run(self, job: Job) -> ComputationOutcome:
        """Refuse a job."""
        return await self.run_job(job)
