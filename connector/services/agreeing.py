"""Agreeing: an agreement is made, signed by both parties, and becomes evidence.

Source:
    docs/adr/0008-signed-agreements.md
"""

from dataclasses import replace
from datetime import datetime

from catalog.description import describe
from connector.evidence.agreements import Party as SigningParty
from connector.evidence.agreements import agreement_file, agreement_statement, require_same_agreement
from connector.evidence.did import DidDocument, parse_did_document
from connector.evidence.documents import canonical, digest
from connector.evidence.proofs import add_proof, proofs_of, require_created_near, verify_proofs
from connector.ports import (
    Credentials,
    Identifiers,
    LedgerEntry,
    Participant,
    PublishedDataset,
    Transaction,
)
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement, ContractNegotiation
from connector.services.exchanging import RequestRefusedError
from connector.services.recording import append
from policies.inheritance import require_own_rules
from policies.model import LanguageMap
from policies.odrl import parse_policy
from policies.refinement import same_rules
from schemas.strict_json import JsonObject

RULES = ("profile", "permission", "prohibition", "obligation", "conflict")
"""What an agreement takes over from its offer, unchanged."""
_NO_RULES = frozenset({"@context", "@id", "@type", "target", "assigner", "assignee", "timestamp"})
"""What a policy says about itself and the parties: all else may change what it means."""


class Agreeing:
    """Makes agreements, and brings both parties' signatures together.

    Args:
        identifiers: Names agreements.
        credentials: Our identity and signature.
        address: Our DSP base address.
    """

    def __init__(self, *, identifiers: Identifiers, credentials: Credentials, address: str) -> None:
        self._identifiers = identifiers
        self._credentials = credentials
        self._address = address

    def grant(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> ContractAgreement:
        """The provider's side: make the agreement on the offer that was negotiated, and sign it.

        It stays unsigned where the consumer has not said that it signs, or has no keys.
        """
        document: JsonObject = {
            "@type": "Agreement",
            "@id": self._identifiers.new(),
            "target": record.dataset,
            "assigner": self._credentials.did,
            "assignee": record.peer,
            "timestamp": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            **{name: record.offer[name] for name in RULES if name in record.offer},
        }
        agreement = ContractAgreement(
            identifier=str(document["@id"]),
            provider=self._credentials.did,
            consumer=record.peer,
            role=Party.PROVIDER,
            dataset=record.dataset,
            negotiation=record.pid,
            document=document,
            statement=self._sign(tx, record, document, now) if record.signing else None,
            documents=self._documents(record),
            signed=False,
            agreed=now,
            peer_address=self._address,
        )
        tx.save_agreement(agreement)
        return agreement

    def take(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        participant: Participant,
        agreement: JsonObject,
        evidence: JsonObject | None,
        now: datetime,
    ) -> str:
        """The consumer's side: keep the agreement if it is the one that was negotiated, and sign it.

        Returns:
            IRI of the agreement.

        Raises:
            RequestRefusedError: It is another agreement, or its identifier is taken.
            PolicyRefusedError: It takes over rules of other policies, or cannot be read.
            EvidenceError: The provider's signature is wrong.
        """
        _require_negotiated(record, agreement, self._credentials.did)
        identifier = str(agreement["@id"])
        if tx.agreement(identifier) is not None:
            raise RequestRefusedError(f"There is an agreement {identifier} already.")
        statement = self._countersign(tx, record, agreement, participant, evidence, now)
        tx.save_agreement(
            ContractAgreement(
                identifier=identifier,
                provider=record.peer,
                consumer=self._credentials.did,
                role=Party.CONSUMER,
                dataset=record.dataset,
                negotiation=record.pid,
                document=agreement,
                statement=statement,
                documents=self._documents(record),
                signed=statement is not None,
                agreed=now,
                peer_address=record.peer_address,
            )
        )
        return identifier

    def own_proof(self, agreement: ContractAgreement) -> JsonObject | None:
        """Our proof in an agreement's statement; None where it is unsigned."""
        if agreement.statement is None:
            return None
        own = self._credentials.did + "#"
        proofs = proofs_of(agreement.statement)
        return next((dict(one) for one in proofs if str(one["verificationMethod"]).startswith(own)), None)

    def complete(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        participant: Participant,
        evidence: JsonObject | None,
    ) -> None:
        """The provider's side: add the consumer's proof to ours.

        Raises:
            EvidenceError: The consumer's signature is wrong.
        """
        agreement = tx.agreement(record.agreement_id or "")
        proof = (evidence or {}).get("proof")
        if agreement is None or agreement.statement is None or not isinstance(proof, dict):
            return
        if participant.document is None:
            return
        signed = add_proof(agreement.statement, proof)
        own = self._credentials.document
        proofs = verify_proofs(signed, {own.did: own, participant.did: participant.document})
        require_created_near(proofs, record.updated, since=record.created)
        tx.save_agreement(replace(agreement, statement=signed, signed=True))

    def _sign(
        self, tx: Transaction, record: ContractNegotiation, agreement: JsonObject, now: datetime
    ) -> JsonObject | None:
        published = tx.dataset(record.dataset)
        if record.peer_document is None or published is None:
            return None
        peer = parse_did_document(record.peer_document, did=record.peer)
        digests = published.dataset.digest, digest(describe(published.dataset))
        statement = self._statement(record, agreement, digests, peer)
        return self._credentials.prove(statement, now)

    def _countersign(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        agreement: JsonObject,
        participant: Participant,
        evidence: JsonObject | None,
        now: datetime,
    ) -> JsonObject | None:
        theirs = (evidence or {}).get("statement")
        if not isinstance(theirs, dict) or participant.document is None:
            return None
        known = tx.remote_dataset(record.dataset)
        # The file is never ours to see, and without having read the catalog neither is the description.
        described = theirs.get("datasetDescriptionDigest") if known is None else digest(describe(known.view))
        digests = str(theirs.get("datasetDigest")), str(described)
        ours = self._statement(record, agreement, digests, participant.document)
        require_same_agreement(ours, theirs)
        proofs = verify_proofs(theirs, {participant.did: participant.document})
        require_created_near(proofs, now, since=record.created)
        return self._credentials.prove(theirs, now)

    def _statement(
        self, record: ContractNegotiation, agreement: JsonObject, digests: tuple[str, str], peer: DidDocument
    ) -> JsonObject:
        """What both parties sign; each builds it from its own records."""
        own, other = _signing_party(self._credentials.document), _signing_party(peer)
        provider_pid, consumer_pid = record.pids
        return agreement_statement(
            agreement=agreement,
            provider_pid=provider_pid,
            consumer_pid=consumer_pid,
            offer_digest=digest(record.offer),
            dataset_digest=digests[0],
            description_digest=digests[1],
            parties=(own, other) if record.role is Party.PROVIDER else (other, own),
        )

    def _documents(self, record: ContractNegotiation) -> dict[str, JsonObject]:
        own = {self._credentials.did: dict(self._credentials.document.content)}
        return own if record.peer_document is None else {**own, record.peer: record.peer_document}


def enter_ledger(
    tx: Transaction, credentials: Credentials, record: ContractNegotiation, now: datetime
) -> bool:
    """A finalised agreement that both parties have signed becomes a file and a line of the ledger.

    Returns:
        Whether it has.
    """
    agreement = tx.agreement(record.agreement_id or "")
    if agreement is None or agreement.statement is None or not agreement.signed:
        return False
    append(
        tx,
        credentials,
        LedgerEntry(
            index=tx.ledger_size(),
            kind="agreement",
            identifier=agreement.identifier,
            agreement_id=agreement.identifier,
            dataset=agreement.dataset,
            leaf=canonical(agreement.statement),
            raw_rows_out=0,
            raw_bytes_out=0,
            result_bytes_out=0,
            recorded=now,
        ),
    )
    tx.save_document(agreement.identifier, agreement_file(agreement.statement, agreement.documents))
    return True


def missing_signature(agreement: ContractAgreement, published: PublishedDataset) -> LanguageMap | None:
    """Why an agreement does not open its dataset for want of a signature; None where it does.

    Asked at every access, so that an agreement which nobody can prove opens nothing
    from the moment on at which its dataset no longer accepts it.
    """
    return None if agreement.signed or published.accepts_unsigned else _UNSIGNED


_UNSIGNED: LanguageMap = {
    "de": "Diesen Vertrag haben nicht beide Seiten unterschrieben. Für diesen Datensatz reicht das nicht. "
    "Schließen Sie ihn mit einem Connector neu, der unterschreibt, oder bitten Sie den Anbieter, den "
    "Datensatz mit accepts_unsigned zu veröffentlichen.",
    "en": "Not both parties have signed this agreement, and for this dataset that is not enough. Negotiate a "
    "new one with a connector that signs, or ask the provider to publish the dataset with accepts_unsigned.",
}


def states_same_rules(left: JsonObject, right: JsonObject) -> bool:
    """Whether two policies have the same rules in the same words: then nobody has to interpret them.

    A member that is unknown here counts, so that nothing is passed over: whoever
    interprets the policy then refuses it by name.
    """
    return _meaning(left) == _meaning(right)


def _meaning(policy: JsonObject) -> JsonObject:
    return {name: value for name, value in policy.items() if name not in _NO_RULES}


def _require_negotiated(record: ContractNegotiation, agreement: JsonObject, own: str) -> None:
    """Refuse an agreement that is not the offer we asked for."""
    require_own_rules(agreement)
    expected = {"target": record.dataset, "assigner": record.peer, "assignee": own}
    for name, value in expected.items():
        if agreement.get(name) != value:
            raise RequestRefusedError(f"The agreement's {name} is {agreement.get(name)!r}, not {value!r}.")
    if not states_same_rules(agreement, record.offer) and not same_rules(
        parse_policy(agreement), parse_policy(record.offer)
    ):
        raise RequestRefusedError("The agreement's rules are not those of the offer that we asked for.")


def _signing_party(document: DidDocument) -> SigningParty:
    return SigningParty(document.did, document.signing_method, document.digest)
