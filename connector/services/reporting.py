"""Reporting: what an agreement would decide now, rule by rule, without anything happening."""

from dataclasses import replace

from connector.ports import Clock, Identifiers, Store, Transaction
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement
from connector.protocol.transfer import TransferFormat
from connector.services.accessing import account_of
from connector.services.agreeing import missing_signature
from connector.services.exchanging import UnknownExchangeError
from connector.services.handing_over import NO_RAW_DATA
from policies.actions import RAW
from policies.circumstances import NOTHING_STATED, Circumstances, Uses
from policies.evaluation import Decision, Facts, Reason, Request, evaluate, survey
from policies.model import LanguageMap, Policy
from policies.odrl import parse_policy
from policies.report import compliance_report
from policies.restrictions import opens_raw_data
from schemas.strict_json import JsonObject
from schemas.vocabulary import ODRL


class Reporting:
    """Tells what agreements would decide, as compliance reports.

    Args:
        store: Where agreements and their accounts are kept.
        clock: Tells the time.
        identifiers: Names reports.
        circumstances: What we state about ourselves, the calendar and our partners.
    """

    def __init__(
        self, *, store: Store, clock: Clock, identifiers: Identifiers, circumstances: Circumstances
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._circumstances = circumstances

    async def agreement(
        self, identifier: str, action: str, purpose: str | None, algorithm: str | None
    ) -> JsonObject:
        """What an agreement would decide now, if its consumer asked for something.

        As its provider we decide with the real account and circumstances; nothing
        is counted. As its consumer we do not know them: they are unknown.

        Args:
            identifier: IRI of the agreement.
            action: Absolute IRI of what would be asked for.
            purpose: What for; None for the purpose declared in the negotiation.
            algorithm: SHA-256 of the algorithm, for computations; None where it is not known yet.

        Returns:
            The report, as JSON-LD.

        Raises:
            UnknownExchangeError: There is no such agreement.
        """

        def read(tx: Transaction) -> JsonObject:
            agreement = tx.agreement(identifier)
            if agreement is None:
                raise UnknownExchangeError(identifier)
            negotiation = tx.negotiation(agreement.negotiation)
            declared = purpose or (None if negotiation is None else negotiation.purpose)
            asked = Request(action, agreement.dataset, agreement.consumer, declared, algorithm)
            return self._report(tx, agreement, asked)

        return await self._store.transact(read)

    def _report(self, tx: Transaction, agreement: ContractAgreement, asked: Request) -> JsonObject:
        policy, now = parse_policy(agreement.document), self._clock.now()
        ours = agreement.role is Party.PROVIDER
        facts = (self._circumstances if ours else NOTHING_STATED).facts(
            now,
            agreement.consumer,
            uses=account_of(tx, agreement.identifier, policy) if ours else Uses(),
            started=agreement.agreed,
        )
        hindrance = _hindrance(tx, agreement) or _raw_data_refusal(tx, policy, asked, facts)
        decision = _unless_hindered(survey(policy, asked, facts), hindrance)
        name = self._identifiers.new()
        return compliance_report(
            policy, decision, identifier=name, created=now, request=f"{name}#request", asked=asked
        )


def _unless_hindered(decision: Decision, hindrance: LanguageMap | None) -> Decision:
    if hindrance is None:
        return decision
    first = Reason("", ODRL + "Agreement", satisfied=False, words=lambda: hindrance)
    return replace(decision, permitted=False, permission=None, reasons=(first, *decision.reasons))


def _hindrance(tx: Transaction, agreement: ContractAgreement) -> LanguageMap | None:
    """Why an agreement opens nothing, whatever its rules say; None where they decide."""
    if agreement.retirement is not None:
        return agreement.retirement.explanation
    negotiation = tx.negotiation(agreement.negotiation)
    if negotiation is None or not negotiation.is_in_force:
        return _NOT_IN_FORCE
    if agreement.role is not Party.PROVIDER:
        return None
    published = tx.dataset(agreement.dataset)
    return _NO_DATASET if published is None else missing_signature(agreement, published)


def _raw_data_refusal(tx: Transaction, policy: Policy, asked: Request, facts: Facts) -> LanguageMap | None:
    """Why raw data stay although a rule permits the action: handing them out amounts to several actions."""
    if asked.action not in RAW:
        return None
    published = tx.dataset(asked.target)
    if published is not None and TransferFormat.DOWNLOAD not in published.dataset.formats:
        return NO_RAW_DATA
    wide = replace(policy, permissions=tuple(one for one in policy.permissions if opens_raw_data(one)))
    decisions = [evaluate(wide, replace(asked, action=action), facts) for action in RAW]
    refused = next((decision for decision in decisions if not decision.permitted), None)
    return None if refused is None else {language: refused.explain(language) for language in ("de", "en")}


_NOT_IN_FORCE: LanguageMap = {
    "de": "Der Vertrag ist nicht in Kraft: Seine Verhandlung ist noch nicht abgeschlossen oder gescheitert.",
    "en": "The agreement is not in force: its negotiation is not finished, or has failed.",
}
_NO_DATASET: LanguageMap = {
    "de": "Den Datensatz dieses Vertrags gibt es hier nicht mehr.",
    "en": "The dataset of this agreement does not exist here any more.",
}
