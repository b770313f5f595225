"""Deciding: what is refused becomes an entry of the ledger before anybody is told.

An entry is written in the transaction that also keeps the record of the refusal.
A partner that is refused again and again cannot fill the disk: beyond
`MOST_REFUSALS` within a minute it is told nothing but to wait, and that is no
decision, so nothing is written. What is permitted goes on all the same. The
count is kept in memory; a restart begins anew.

Source:
    docs/evidence.md
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from connector.evidence.decisions import PERMIT, REFUSAL, Decision
from connector.ports import Clock, Credentials, Identifiers, Transaction
from connector.protocol.negotiation import ContractAgreement
from connector.services.recording import record_decision
from policies.model import LanguageMap
from policies.wording import sentence

MOST_REFUSALS: Final = 60
"""Refusals that are decided and written per minute: under one agreement, or of one partner's negotiations."""
_WINDOW: Final = timedelta(minutes=1)


class TooManyRefusalsError(Exception):
    """The caller has been refused too often just now; nothing has been decided.

    Attributes:
        reason: What to do, per language.
    """

    def __init__(self) -> None:
        super().__init__(_WAIT["en"])
        self.reason = _WAIT


@dataclass(frozen=True, slots=True)
class Decided:
    """A request that is decided on.

    Attributes:
        requester: DID of who asked.
        agreement_id: IRI of the agreement; the pid of the negotiation where there is none yet.
        dataset: IRI of the dataset.
        action: Absolute IRI of what was asked for.
        purpose: The declared purpose, if any.
        request_digest: SHA-256 of the statement, the algorithm, the transfer's pid or the offer.
        reason: Why, per language.
        identifier: IRI of the decision where the same request may arrive twice: it is written
            once; None to have one made.
    """

    requester: str
    agreement_id: str
    dataset: str
    action: str
    purpose: str | None
    request_digest: str
    reason: Mapping[str, str]
    identifier: str | None = None


def permitted_under(
    agreement: ContractAgreement, permission: str, *, action: str, purpose: str | None, request_digest: str
) -> Decided:
    """A request under an agreement of ours that may begin.

    Args:
        agreement: The agreement.
        permission: Identifier of the rule that permits it.
        action: Absolute IRI of what was asked for.
        purpose: The declared purpose, if any.
        request_digest: SHA-256 of the request.
    """
    return Decided(
        requester=agreement.consumer,
        agreement_id=agreement.identifier,
        dataset=agreement.dataset,
        action=action,
        purpose=purpose,
        request_digest=request_digest,
        reason=sentence(
            "Der Vertrag erlaubt das in der Regel {rule}.",
            "The agreement permits this in its rule {rule}.",
            rule=permission,
        ),
    )


def refused_under(
    agreement: ContractAgreement,
    reason: LanguageMap,
    *,
    action: str,
    purpose: str | None,
    request_digest: str,
    repeatable: str | None = None,
) -> Decided:
    """A request under an agreement of ours that is refused.

    Args:
        agreement: The agreement.
        reason: Why.
        action: Absolute IRI of what was asked for.
        purpose: The declared purpose, if any.
        request_digest: SHA-256 of the request.
        repeatable: Tells the request apart from every other, where it may arrive twice.
    """
    return Decided(
        requester=agreement.consumer,
        agreement_id=agreement.identifier,
        dataset=agreement.dataset,
        action=action,
        purpose=purpose,
        request_digest=request_digest,
        reason=reason,
        identifier=repeatable and f"{agreement.identifier}#refusal-{repeatable}",
    )


class Deciding:
    """Writes decisions into the ledger.

    Args:
        clock: Tells the time.
        identifiers: Names decisions.
        credentials: Who signs them.
    """

    def __init__(self, *, clock: Clock, identifiers: Identifiers, credentials: Credentials) -> None:
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._lately: dict[str, deque[datetime]] = {}

    def require_patience(self, account: str) -> None:
        """Turn away who has been refused too often just now.

        Args:
            account: On whose account refusals are counted: an agreement, or a partner.

        Raises:
            TooManyRefusalsError: Always, then.
        """
        if len(self._recent(account, self._clock.now())) >= MOST_REFUSALS:
            raise TooManyRefusalsError

    def tell(self, tx: Transaction, refused: Decided) -> None:
        """Write down a refusal that the caller is about to be told.

        Args:
            tx: The transaction that also keeps the record of the refusal.
            refused: What is refused.

        Raises:
            TooManyRefusalsError: The caller is told that instead; nothing is written.
            LedgerDamagedError: The ledger was shortened.
        """
        self.require_patience(refused.agreement_id)
        self.write(tx, refused, account=refused.agreement_id)

    def write(self, tx: Transaction, refused: Decided, *, account: str) -> None:
        """Write down a refusal, however many there were: something has to come to an end.

        Args:
            tx: The transaction that also ends it.
            refused: What is refused.
            account: On whose account it is counted.

        Raises:
            LedgerDamagedError: The ledger was shortened.
        """
        now = self._clock.now()
        self._recent(account, now).append(now)
        known = refused.identifier is not None and tx.ledger_entry(refused.identifier) is not None
        if not known:
            self._record(tx, REFUSAL, refused, now)

    def permit(self, tx: Transaction, permitted: Decided) -> None:
        """Write down that something may begin whose receipt, if any, comes later.

        Args:
            tx: The transaction in which it begins.
            permitted: What is permitted.

        Raises:
            LedgerDamagedError: The ledger was shortened.
        """
        self._record(tx, PERMIT, permitted, self._clock.now())

    def _record(self, tx: Transaction, kind: str, decided: Decided, now: datetime) -> None:
        own = self._credentials
        decision = Decision(
            kind=kind,
            identifier=decided.identifier or self._identifiers.new(),
            issuer=own.did,
            verification_method=own.verification_method,
            did_document_digest=own.document.digest,
            requester=decided.requester,
            agreement_id=decided.agreement_id,
            dataset_id=decided.dataset,
            action=decided.action,
            purpose=decided.purpose or "",
            request_digest=decided.request_digest,
            reason=decided.reason,
            decided=now,
        )
        record_decision(tx, own, decision)

    def _recent(self, account: str, now: datetime) -> deque[datetime]:
        """When refusals on an account were written within the last minute, oldest first."""
        # No more of them than can matter are kept, however many there are.
        moments = self._lately.setdefault(account, deque(maxlen=MOST_REFUSALS))
        while moments and moments[0] <= now - _WINDOW:
            moments.popleft()
        return moments


_WAIT: Final[LanguageMap] = {
    "de": "In der letzten Minute wurde zu vieles abgelehnt. Warten Sie eine Minute, und lesen Sie die "
    "früheren Begründungen.",
    "en": "Too much was refused within the last minute. Wait a minute, and read the earlier reasons.",
}
