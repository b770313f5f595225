"""What evidence costs: signatures against bare Ed25519, and ledger entries against bare SQLite commits."""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.measuring import Table, ratio
from connector.adapters.own_credentials import OwnCredentials, create_keys, load_credentials
from connector.adapters.rdf_canonicaliser import RdfCanonicaliser
from connector.adapters.sql_store import SqlStore
from connector.evidence.agreements import Party, agreement_statement
from connector.evidence.decisions import REFUSAL, Decision
from connector.evidence.ledger import leaf_hash
from connector.evidence.proofs import verify_proofs
from connector.ports import Transaction
from connector.services.recording import record_decision
from schemas.strict_json import JsonObject

_SECONDS = 0.5
_ROUNDS = 5
_ENTRIES = 200
_SIZES = (0, 10_000)
_DID = "did:web:bench.example"
_OTHER = "did:web:other.example"
_NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def measure() -> list[Table]:
    """Signatures and verifications per second, and ledger entries per second."""
    with tempfile.TemporaryDirectory(prefix="allmende-bench-") as made:
        directory = Path(made)
        create_keys(directory)
        credentials = load_credentials(directory, did=_DID, base_url="https://bench.example/dsp/2025-1")
        return [_signatures(credentials), asyncio.run(_ledger(directory, credentials))]


def _signatures(credentials: OwnCredentials) -> Table:
    statement = _statement(credentials)
    signed = credentials.prove(statement, _NOW)
    documents = {credentials.did: credentials.document}
    key = Ed25519PrivateKey.generate()
    data = bytes(64)
    bare = key.sign(data)
    public = key.public_key()
    signing, verifying = _rate(lambda: key.sign(data)), _rate(lambda: public.verify(bare, data))
    ours = _rate(lambda: credentials.prove(statement, _NOW))
    checked = _rate(lambda: verify_proofs(signed, documents))
    rdf = RdfCanonicaliser()
    as_rdf = _rate(lambda: rdf([statement]))
    rows = [
        ["sign 64 bytes, bare Ed25519", _per_second(signing), "1.0"],
        ["sign an agreement (eddsa-jcs-2022)", _per_second(ours), ratio(signing, ours)],
        ["verify 64 bytes, bare Ed25519", _per_second(verifying), "1.0"],
        [
            "verify one proof of an agreement (eddsa-jcs-2022)",
            _per_second(checked),
            ratio(verifying, checked),
        ],
        ["canonical RDF of an agreement, in a child process", _per_second(as_rdf), ratio(verifying, as_rdf)],
    ]
    size = len(str(statement))
    note = (
        f"Medians of {_ROUNDS} rounds of {_SECONDS} s, on one core; the agreement has two rules and {size:,} "
        "characters. The last column is how many times faster the bare operation is: the limit."
    )
    return Table("Signatures against bare Ed25519", ("what", "per second", "limit / this"), rows, [note])


def _statement(credentials: OwnCredentials) -> JsonObject:
    constraints = [
        {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"},
        {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-12-31T23:59:59Z"},
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": "https://w3id.org/dpv#Optimisation"},
    ]
    agreement: JsonObject = {
        "@type": "Agreement",
        "@id": "urn:uuid:11111111-1111-4111-8111-111111111111",
        "target": "urn:uuid:22222222-2222-4222-8222-222222222222",
        "assigner": _DID,
        "assignee": _OTHER,
        "timestamp": "2026-11-21T07:59:58Z",
        "permission": [
            {"action": f"https://w3id.org/allmende/policy/v1#{action}", "constraint": [*constraints]}
            for action in ("query", "compute")
        ],
    }
    parties = (
        Party(_DID, credentials.verification_method, credentials.document.digest),
        Party(_OTHER, _OTHER + "#contracts", "0" * 64),
    )
    return agreement_statement(
        agreement=agreement,
        provider_pid="urn:uuid:33333333-3333-4333-8333-333333333333",
        consumer_pid="urn:uuid:44444444-4444-4444-8444-444444444444",
        offer_digest="a" * 64,
        dataset_digest="b" * 64,
        description_digest="c" * 64,
        parties=parties,
    )


def _rate(action: Callable[[], object]) -> float:
    """How often a second, in the median round."""
    rates = []
    for _ in range(_ROUNDS):
        count, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < _SECONDS:
            action()
            count += 1
        rates.append(count / elapsed)
    return statistics.median(rates)


async def _ledger(directory: Path, credentials: OwnCredentials) -> Table:
    commits = _bare_commits(directory / "bare.sqlite")
    rows = [["one row of the same size, bare SQLite, synchronous=FULL", _per_second(commits), "1.0"]]
    store = SqlStore(f"sqlite:///{directory / 'ledger.sqlite'}", leaf_hash)
    try:
        written = 0
        for size in _SIZES:
            written = await _fill(store, credentials, written, size)
            rate, written = await _one_by_one(store, credentials, written)
            name = f"a signed entry with its signed tree head, ledger of {size:,}"
            rows.append([name, _per_second(rate), ratio(commits, rate)])
        rate, written = await _at_once(store, credentials, written)
        rows.append([f"the same, {_ENTRIES} at once", _per_second(rate), ratio(commits, rate)])
    finally:
        store.close()
    note = (
        f"{_ENTRIES} entries each, every one durable before the next; those at once share commits. An entry "
        "is two signatures and two rows."
    )
    return Table("Ledger entries against bare commits", ("what", "per second", "limit / this"), rows, [note])


def _bare_commits(path: Path) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, content BLOB)")
        content, began = bytes(1500), time.perf_counter()
        for number in range(_ENTRIES):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bare VALUES (?, ?)", [number, content])
            connection.execute("COMMIT")
        return _ENTRIES / (time.perf_counter() - began)


async def _fill(store: SqlStore, credentials: OwnCredentials, written: int, size: int) -> int:
    """Bring the ledger to a size, as fast as possible."""

    def work(tx: Transaction) -> None:
        for number in range(written, size):
            record_decision(tx, credentials, _refusal(credentials, number))

    await store.transact(work)
    return max(written, size)


async def _one_by_one(store: SqlStore, credentials: OwnCredentials, written: int) -> tuple[float, int]:
    began = time.perf_counter()
    for number in range(written, written + _ENTRIES):
        refusal = _refusal(credentials, number)
        await store.transact(lambda tx, one=refusal: record_decision(tx, credentials, one))  # type: ignore[misc]
    return _ENTRIES / (time.perf_counter() - began), written + _ENTRIES


async def _at_once(store: SqlStore, credentials: OwnCredentials, written: int) -> tuple[float, int]:
    refusals = [_refusal(credentials, number) for number in range(written, written + _ENTRIES)]
    began = time.perf_counter()
    await asyncio.gather(
        *(store.transact(lambda tx, one=one: record_decision(tx, credentials, one)) for one in refusals)  # type: ignore[misc]
    )
    return _ENTRIES / (time.perf_counter() - began), written + _ENTRIES


def _refusal(credentials: OwnCredentials, number: int) -> Decision:
    return Decision(
        kind=REFUSAL,
        identifier=f"urn:uuid:00000000-0000-4000-8000-{number:012}",
        issuer=credentials.did,
        verification_method=credentials.verification_method,
        did_document_digest=credentials.document.digest,
        requester=_OTHER,
        agreement_id="urn:uuid:11111111-1111-4111-8111-111111111111",
        dataset_id="urn:uuid:22222222-2222-4222-8222-222222222222",
        action="https://w3id.org/allmende/policy/v1#query",
        purpose="",
        request_digest="d" * 64,
        reason={"de": "Die vereinbarten Nutzungen sind verbraucht.", "en": "The agreed uses are used up."},
        decided=_NOW,
    )


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"  # noqa: PLR2004 - three digits are enough
