"""Inheriting: policies are kept for others to take over their rules, and offers are given those rules once.

What is kept under an IRI never changes, since offers and agreements have been
made from it: the IRI stands for its content, and nobody has to be asked what it
says. Nothing is fetched. A policy that is withdrawn stays, so that nothing else
can take its name, but no new offer takes its rules over.

Source:
    ODRL Information Model 2.2, section 2.9; docs/adr/0015-inherited-rules.md.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from connector.evidence.documents import digest
from connector.ports import Clock, InheritedPolicy, KeptPolicy, Store, Transaction
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from policies.compact import refusal
from policies.inheritance import MOST_ANCESTORS, flattened, identifier_of, inherits_from, is_heir
from policies.model import Policy
from policies.odrl import parse_policy
from policies.terms import require_enforceable
from schemas.strict_json import JsonObject

_SCOPES: Final = ("target", "assigner", "assignee")


class Inheriting:
    """Keeps policies that others may take over the rules of.

    Args:
        store: Where they are kept.
        clock: Tells the time.
    """

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def keep(self, document: JsonObject) -> tuple[KeptPolicy, Policy]:
        """Keep a policy, or bring one back that was withdrawn.

        Args:
            document: The policy as compact JSON; it may itself take over rules of policies that are kept.

        Returns:
            What is kept, and the policy with all its rules as the engine reads it.

        Raises:
            PolicyRefusedError: It has a term that cannot be enforced, a parent that
                is not at hand, or a target or parties of its own.
            RequestRefusedError: Something else is kept under its IRI.
            EvidenceError: It has no canonical form.
        """
        record = KeptPolicy(identifier_of(document), digest(document), document, self._clock.now())

        def work(tx: Transaction) -> tuple[KeptPolicy, Policy]:
            known = tx.kept_policy(record.identifier)
            if known is not None and known.digest != record.digest:
                raise RequestRefusedError(
                    f"Another policy is kept under {record.identifier} already (SHA-256 {known.digest}). "
                    "Agreements may have been made from it, so it cannot change; choose a new identifier."
                )
            whole = taken_over(tx, document)
            policy = parse_policy(whole)
            _require_heritable(policy)
            kept = record if known is None else replace(known, withdrawn=None)
            tx.keep_policy(kept)
            return kept, policy

        return await self._store.transact(work)

    async def kept(self) -> tuple[KeptPolicy, ...]:
        """All policies that were kept, withdrawn ones included, oldest first."""
        return await self._store.transact(lambda tx: tx.kept_policies())

    async def withdraw(self, identifier: str) -> None:
        """Let nobody take over the rules of a policy any more; what has taken them over keeps them.

        Raises:
            UnknownExchangeError: No such policy is kept.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            known = tx.kept_policy(identifier)
            if known is None:
                raise UnknownExchangeError(identifier)
            tx.keep_policy(replace(known, withdrawn=known.withdrawn or now))

        await self._store.transact(work)


def taken_over(tx: Transaction, document: JsonObject) -> JsonObject:
    """A policy with the rules of all its ancestors, from those that are kept; itself where it has none.

    Raises:
        PolicyRefusedError: An ancestor is not at hand, or the result cannot be made.
    """
    if not is_heir(document):
        return document
    whole = flattened(document, {kept.identifier: kept.document for kept in ancestors(tx, document)})
    return cast("JsonObject", dict(whole))


def ancestors(tx: Transaction, document: Mapping[str, object]) -> tuple[KeptPolicy, ...]:
    """The kept policies whose rules a policy takes over, near and far, as far as they are at hand.

    Raises:
        PolicyRefusedError: The policy does not name them as it should.
    """
    found: dict[str, KeptPolicy] = {}
    names = list(inherits_from(document))
    while names and len(found) <= MOST_ANCESTORS:
        name = names.pop()
        kept = None if name in found else tx.kept_policy(name)
        if kept is not None and kept.withdrawn is None:
            found[name] = kept
            names.extend(inherits_from(kept.document))
    return tuple(found.values())


def inherited(tx: Transaction, document: Mapping[str, object]) -> tuple[InheritedPolicy, ...]:
    """Which policies an offer takes over, and what they say: what its dataset is recorded with.

    Raises:
        PolicyRefusedError: The policy does not name them as it should.
    """
    found = (InheritedPolicy(kept.identifier, kept.digest) for kept in ancestors(tx, document))
    return tuple(sorted(found, key=lambda one: one.identifier))


def _require_heritable(policy: Policy) -> None:
    """Refuse a policy that nobody could take over, or with a term that nobody here keeps."""
    for role in _SCOPES:
        if getattr(policy, role) is not None:
            raise refusal(
                role,
                "Ein Vertrag, dessen Regeln andere übernehmen, darf {term} nicht selbst nennen: Seine Regeln "
                "gelten für das, was der übernehmende nennt.",
                "A policy whose rules others take over must not name its own {term}: its rules are about "
                "what the heir names.",
            )
    # Where noise is asked for, publishing asks whether it can be drawn; a consumer needs nothing for it.
    require_enforceable(policy, noise=True)
