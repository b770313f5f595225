"""Housekeeping: what nobody needs any more is forgotten, so that a connector can run for years.

Only what can be had again goes: stored answers, copies of permitted data, the
remains of jobs. Agreements, receipts, the ledger and received files stay.

Source:
    docs/installation.md
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from connector.ports import MOST_FORGOTTEN, Clock, JobFolders, KeptProjections, Store, Transaction
from connector.protocol.machine import Party

ANSWERS_KEPT: Final = timedelta(days=30)
"""A message that is repeated later than this counts as new; senders give up after hours."""
UNUSED_KEPT: Final = timedelta(days=1)
"""A projection that nobody is interested in stays so long after its last use: no query or job runs longer."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What has been thrown away.

    Attributes:
        answers: Stored answers to messages.
        projections: Copies of permitted data.
        jobs: Directories of jobs.
    """

    answers: int
    projections: int
    jobs: int


class Housekeeping:
    """Throws away what nobody needs any more.

    Args:
        store: Where answers are kept, and what is on offer.
        clock: Tells the time.
        projections: Copies of permitted data.
        jobs: Where jobs run.
    """

    def __init__(self, *, store: Store, clock: Clock, projections: KeptProjections, jobs: JobFolders) -> None:
        self._store = store
        self._clock = clock
        self._projections = projections
        self._jobs = jobs

    async def tidy(self) -> Tidied:
        """Throw away everything whose time has come."""
        now = self._clock.now()
        jobs = await self._jobs.clear()
        wanted = await self._store.transact(wanted_digests)
        projections = await self._projections.discard(wanted, now - UNUSED_KEPT)
        answers = await self._forget_answers(now - ANSWERS_KEPT)
        return Tidied(answers, projections, jobs)

    async def _forget_answers(self, before: datetime) -> int:
        """Forget in small portions, so that messages do not wait for it."""
        total = 0
        while True:
            forgotten = await self._store.transact(lambda tx: tx.forget_answers(before))
            total += forgotten
            if forgotten < MOST_FORGOTTEN:
                return total


def wanted_digests(tx: Transaction) -> frozenset[str]:
    """Digests of the data files that somebody may still use.

    They are on offer, or there is an agreement on them that has not been ended:
    a dataset that is withdrawn serves the agreements that it has.
    """
    agreed = {
        agreement.dataset
        for agreement in tx.agreements()
        if agreement.role is Party.PROVIDER and agreement.retirement is None
    }
    datasets = (published.dataset for published in tx.datasets())
    return frozenset(one.digest for one in datasets if one.publishing or one.identifier in agreed)
