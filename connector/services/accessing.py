"""Accessing: what an access token opens, and whether the agreement permits a use of it.

A use is counted before it happens. What happens at once is counted in the
transaction that releases it; a computation is counted together with its record,
which survives a crash and goes on. A query has no such record: its use is a
reservation, until it is released, refused, or given back.

Source:
    docs/adr/0006-enforcement.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connector.ports import PublishedDataset, Reservation, TimeOfUse, Transaction
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement
from connector.protocol.transfer import TransferFormat, TransferProcess
from connector.services.agreeing import missing_signature
from connector.services.transferring import token_digest
from policies.circumstances import NOTHING_STATED, Circumstances, Uses
from policies.evaluation import Request, Where, evaluate
from policies.model import LanguageMap, Permission, Policy
from policies.odrl import parse_policy
from policies.restrictions import least_interval, most_metered, use_limit
from policies.wording import duration_name, sentence


class AccessDeniedError(Exception):
    """The token opens nothing; the caller learns no more than that."""


class UseRefusedError(Exception):
    """The agreement does not permit this use.

    Attributes:
        reason: Why, per language.
    """

    def __init__(self, reason: LanguageMap) -> None:
        super().__init__(reason["en"])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token opens.

    Attributes:
        transfer: The transfer process that it belongs to.
        agreement: The agreement behind it.
        policy: The agreement as the engine reads it.
        published: The dataset.
        purpose: The purpose that the consumer declared when it negotiated.
        uses: Uses so far, per rule of the agreement.
        times: When and for how long, per rule that limits it.
    """

    transfer: TransferProcess
    agreement: ContractAgreement
    policy: Policy
    published: PublishedDataset
    purpose: str | None
    uses: Mapping[str, int]
    times: Mapping[str, TimeOfUse] = field(default_factory=dict)


def open_access(tx: Transaction, token: str, transfer_format: TransferFormat) -> Access:
    """What a token opens, as things stand now.

    Raises:
        AccessDeniedError: Unknown token, other format, transfer not started,
            agreement not in force, or dataset gone.
        UseRefusedError: The provider has ended the agreement before its time, or it is
            not signed, and the dataset asks for that.
    """
    transfer = tx.transfer_with_token(token_digest(token))
    if transfer is None or transfer.transfer_format != transfer_format:
        raise AccessDeniedError("The access token is unknown, or was given for another use.")
    return access_of(tx, transfer)


def agreement_behind(tx: Transaction, token: str) -> ContractAgreement | None:
    """The agreement of ours that a token belongs to, whether it opens anything or not."""
    transfer = tx.transfer_with_token(token_digest(token))
    agreement = tx.agreement(transfer.agreement_id) if transfer else None
    return agreement if agreement is not None and agreement.role is Party.PROVIDER else None


def access_of(tx: Transaction, transfer: TransferProcess) -> Access:
    """What a transfer process of ours gives access to, as things stand now.

    Raises:
        AccessDeniedError: The transfer is not started, the agreement is not in
            force, or the dataset is gone.
        UseRefusedError: The provider has ended the agreement before its time, or it is
            not signed, and the dataset asks for that.
    """
    agreement = tx.agreement(transfer.agreement_id)
    if agreement is not None and agreement.retirement is not None:
        # First, so that the reason is told, although the transfer process has ended with it.
        raise UseRefusedError(agreement.retirement.explanation)
    if transfer.role is not Party.PROVIDER or not transfer.is_open:
        raise AccessDeniedError(f"The transfer process is not started; it is {transfer.state}.")
    negotiation = tx.negotiation(agreement.negotiation) if agreement else None
    if agreement is None or negotiation is None or not negotiation.is_in_force:
        raise AccessDeniedError("The agreement is not in force.")
    published = tx.dataset(agreement.dataset)
    if published is None:
        raise AccessDeniedError("The dataset no longer exists.")
    unsigned = missing_signature(agreement, published)
    if unsigned is not None:
        raise UseRefusedError(unsigned)
    policy = parse_policy(agreement.document)
    uses, times = _books(tx, agreement.identifier, policy)
    return Access(transfer, agreement, policy, published, negotiation.purpose, uses, times)


def account_of(tx: Transaction, agreement_id: str, policy: Policy) -> Uses:
    """What the account of an agreement of ours says now.

    Args:
        tx: The transaction that looks.
        agreement_id: IRI of the agreement.
        policy: The agreement as the engine reads it.
    """
    return _account(*_books(tx, agreement_id, policy))


def _books(
    tx: Transaction, agreement_id: str, policy: Policy
) -> tuple[Mapping[str, int], Mapping[str, TimeOfUse]]:
    """Uses so far, and when and for how long, per rule of an agreement."""
    counted = tx.uses(agreement_id)
    uses = {rule.identifier: counted.get(rule.identifier, 0) for rule in policy.permissions}
    times = {
        rule.identifier: tx.time_of_use(agreement_id, rule.identifier)
        for rule in policy.permissions
        if least_interval(rule) is not None or most_metered(rule) is not None
    }
    return uses, times


def permitted(
    access: Access,
    *,
    action: str,
    purpose: str | None,
    now: datetime,
    algorithm: str | None = None,
    at: Where = Where.ACCESS,
    circumstances: Circumstances = NOTHING_STATED,
) -> Permission:
    """The permission under which a use may happen.

    Args:
        access: What the token opens.
        action: Absolute IRI of the action.
        purpose: What for; None for the purpose declared in the negotiation.
        now: The current time.
        algorithm: SHA-256 of the algorithm, for computations.
        at: The station that asks.
        circumstances: What we state about ourselves, the calendar and our partners.

    Raises:
        UseRefusedError: No permission is active, or a prohibition is.
    """
    request = Request(
        action=action,
        target=access.agreement.dataset,
        assignee=access.agreement.consumer,
        purpose=purpose or access.purpose,
        algorithm_digest=algorithm,
    )
    facts = circumstances.facts(
        now,
        access.agreement.consumer,
        uses=_account(access.uses, access.times),
        started=access.agreement.agreed,
    )
    decision = evaluate(access.policy, request, facts, at=at)
    if decision.permission is None or not decision.permitted:
        raise UseRefusedError({language: decision.explain(language) for language in ("de", "en")})
    return decision.permission


def _account(uses: Mapping[str, int], times: Mapping[str, TimeOfUse]) -> Uses:
    last = {rule: time.last for rule, time in times.items()}
    return Uses(uses, last, {rule: time.metered for rule, time in times.items()})


def reserve(tx: Transaction, access: Access, permission: Permission, now: datetime) -> tuple[int, int]:
    """Count one use, before it happens.

    Returns:
        Uses before and after.

    Raises:
        UseRefusedError: The agreement's number of uses is used up, or the last
            one is not long enough ago.
    """
    apart = least_interval(permission)
    if apart is not None and not tx.note_use(access.agreement.identifier, permission.identifier, now, apart):
        raise UseRefusedError(
            sentence(
                "Zwischen zwei Nutzungen müssen mindestens {apart} liegen.",
                "At least {apart} must lie between two uses.",
                apart=duration_name(apart),
            )
        )
    limit = use_limit(permission)
    if not tx.reserve(access.agreement.identifier, permission.identifier, limit):
        raise UseRefusedError(
            {
                "de": f"Die vereinbarten {limit} Nutzungen sind verbraucht.",
                "en": f"The {limit} uses that were agreed are used up.",
            }
        )
    after = tx.uses(access.agreement.identifier)[permission.identifier]
    return after - 1, after


def reserve_time(
    tx: Transaction, access: Access, permission: Permission, wanted: timedelta
) -> timedelta | None:
    """Reserve time for a computation, before it runs; what it does not need is returned later.

    Args:
        tx: The transaction that reserves it.
        access: What the token opens.
        permission: On whose account it is.
        wanted: How long it may run at most.

    Returns:
        How long it may run: what is left, if that is less; None where the permission meters no time.

    Raises:
        UseRefusedError: The time that was agreed is used up, or reserved by computations that run.
    """
    total = most_metered(permission)
    if total is None:
        return None
    agreement, rule = access.agreement.identifier, permission.identifier
    granted = min(wanted, total - tx.time_of_use(agreement, rule).metered)
    if granted <= timedelta(0) or not tx.meter(agreement, rule, granted, total):
        raise UseRefusedError(
            sentence(
                "Die vereinbarte Rechenzeit ({total}) ist verbraucht oder an laufende Berechnungen vergeben.",
                "The computing time that was agreed ({total}) is used up, or reserved by what runs.",
                total=duration_name(total),
            )
        )
    return granted


def open_use(
    tx: Transaction, access: Access, permission: Permission, identifier: str, now: datetime
) -> tuple[int, int]:
    """Count a use that happens later, if at all: it stays open until `close_use` or `give_back`.

    Args:
        tx: The transaction that counts it.
        access: What the token opens.
        permission: On whose account it is.
        identifier: What the reservation is called; the receipt gets it, where there is a release.
        now: The current time.

    Returns:
        Uses before and after.

    Raises:
        UseRefusedError: The agreement's number of uses is used up.
    """
    uses = reserve(tx, access, permission, now)
    tx.open_reservation(Reservation(identifier, access.agreement.identifier, permission.identifier, now))
    return uses


def close_use(tx: Transaction, identifier: str) -> None:
    """A counted use happens now, or is spent: it is not given back any more.

    Raises:
        UseRefusedError: It has been given back meanwhile, so nothing may be released on its account.
    """
    if not tx.close_reservation(identifier):
        raise UseRefusedError(_NOT_OPEN)


def give_back(tx: Transaction, agreement_id: str, rule: str, identifier: str, counted: datetime) -> None:
    """A counted use came to nothing, and the provider is to blame: it costs nothing, once.

    Args:
        tx: The transaction that gives it back.
        agreement_id: IRI of the agreement.
        rule: On whose account it is.
        identifier: What the reservation is called.
        counted: When it was counted.
    """
    if tx.close_reservation(identifier):
        take_back(tx, agreement_id, rule, counted)


def take_back(tx: Transaction, agreement_id: str, rule: str, counted: datetime) -> None:
    """A use that was counted then has not happened: neither is it one, nor the last one."""
    tx.refund(agreement_id, rule)
    tx.forget_use(agreement_id, rule, counted)


def give_back_all(tx: Transaction) -> int:
    """Give back the uses that a process has counted and then died, before the next one counts any.

    A release closes its reservation in the transaction that writes the receipt
    into the ledger, so what is still open was never released.

    Returns:
        How many there were.
    """
    left = tx.reservations()
    for one in left:
        give_back(tx, one.agreement_id, one.rule, one.identifier, one.created)
    return len(left)


_NOT_OPEN: LanguageMap = {
    "de": "Diese Nutzung wurde zurückgegeben. Stellen Sie die Abfrage noch einmal.",
    "en": "This use has been given back. Ask again.",
}
