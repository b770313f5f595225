"""Accessing: what an access token opens, and whether the agreement permits a use of it.

Source:
    docs/adr/0006-enforcement.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.ports import PublishedDataset, Transaction
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement
from connector.protocol.transfer import TransferFormat, TransferProcess
from connector.services.transferring import token_digest
from policies.evaluation import Facts, Request, Where, evaluate
from policies.model import LanguageMap, Permission, Policy
from policies.odrl import parse_policy
from policies.restrictions import use_limit


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
    """

    transfer: TransferProcess
    agreement: ContractAgreement
    policy: Policy
    published: PublishedDataset
    purpose: str | None
    uses: Mapping[str, int]


def open_access(tx: Transaction, token: str, transfer_format: TransferFormat) -> Access:
    """What a token opens, as things stand now.

    Raises:
        AccessDeniedError: Unknown token, other format, transfer not started,
            agreement not in force, or dataset gone.
    """
    transfer = tx.transfer_with_token(token_digest(token))
    if transfer is None or transfer.transfer_format != transfer_format:
        raise AccessDeniedError("The access token is unknown, or was given for another use.")
    return access_of(tx, transfer)


def access_of(tx: Transaction, transfer: TransferProcess) -> Access:
    """What a transfer process of ours gives access to, as things stand now.

    Raises:
        AccessDeniedError: The transfer is not started, the agreement is not in
            force, or the dataset is gone.
    """
    if transfer.role is not Party.PROVIDER or not transfer.is_open:
        raise AccessDeniedError(f"The transfer process is not started; it is {transfer.state}.")
    agreement = tx.agreement(transfer.agreement_id)
    negotiation = tx.negotiation(agreement.negotiation) if agreement else None
    if agreement is None or negotiation is None or not negotiation.is_in_force:
        raise AccessDeniedError("The agreement is not in force.")
    published = tx.dataset(agreement.dataset)
    if published is None:
        raise AccessDeniedError("The dataset no longer exists.")
    policy = parse_policy(agreement.document)
    counted = tx.uses(agreement.identifier)
    uses = {rule.identifier: counted.get(rule.identifier, 0) for rule in policy.permissions}
    return Access(transfer, agreement, policy, published, negotiation.purpose, uses)


def permitted(
    access: Access,
    *,
    action: str,
    purpose: str | None,
    now: datetime,
    algorithm: str | None = None,
    at: Where = Where.ACCESS,
) -> Permission:
    """The permission under which a use may happen.

    Args:
        access: What the token opens.
        action: Absolute IRI of the action.
        purpose: What for; None for the purpose declared in the negotiation.
        now: The current time.
        algorithm: SHA-256 of the algorithm, for computations.
        at: The station that asks.

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
    facts = Facts(now=now, uses=access.uses, started=access.agreement.agreed)
    decision = evaluate(access.policy, request, facts, at=at)
    if decision.permission is None or not decision.permitted:
        raise UseRefusedError({language: decision.explain(language) for language in ("de", "en")})
    return decision.permission


def reserve(tx: Transaction, access: Access, permission: Permission) -> tuple[int, int]:
    """Count one use, before it happens.

    Returns:
        Uses before and after.

    Raises:
        UseRefusedError: The agreement's number of uses is used up.
    """
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
