"""What two databases must say after everything: each contract and each release once, on both sides."""

import json
from collections import Counter

from connector.evidence.ledger import leaf_hash, root
from connector.evidence.verification import verify_file
from tests.region.crash_pair import Pair, Side

TAKEN = {
    "negotiations": {"provider": 2, "consumer": 2},
    "transfers": {"provider": 4, "consumer": 2},
}
"""Messages that each side takes in one exchange: request, verification; agreement, FINALIZED; request,
suspension, start, completion; start, start. A repetition that is taken for new would be one more."""


def no_message_counts_twice(both: Pair) -> None:
    """The inboxes hold every message of every exchange once, and the outboxes nothing."""
    for side in both.sides:
        assert side.records("outbox") == []
        expected = sum(TAKEN[table][side.name] * side.count(table) for table in TAKEN)
        assert side.count("inbox") == expected, f"the {side.name}'s inbox"


def exchanges_agree(both: Pair, table: str, state: str) -> None:
    """Each exchange is known on both sides, under the same two numbers and in the same state."""
    ours, theirs = (side.records(table) for side in (both.consumer, both.provider))
    assert {one["state"] for one in (*ours, *theirs)} <= {state}
    assert [one for one in (*ours, *theirs) if one["pending"] is not None] == []
    assert Counter((one["peer_pid"], one["pid"]) for one in ours) == Counter(
        (one["pid"], one["peer_pid"]) for one in theirs
    )


def each_contract_once(both: Pair) -> None:
    """One agreement per negotiation on each side, the same, signed by both parties, and in both ledgers."""
    exchanges_agree(both, "negotiations", "FINALIZED")
    made = {}
    for side in both.sides:
        agreements = side.records("agreements")
        assert all(one["signed"] for one in agreements)
        assert Counter(one["negotiation"] for one in agreements) == Counter(side.pids("negotiations"))
        named = {one["pid"]: one["agreement_id"] for one in side.records("negotiations")}
        assert {one["negotiation"]: one["identifier"] for one in agreements} == named
        assert Counter(entered(side, "agreement")) == Counter(named.values())
        made[side.name] = {one["identifier"]: one["document"] for one in agreements}
    assert made["provider"] == made["consumer"]
    evidence = [{name: documents(side)[name] for name in made["provider"]} for side in both.sides]
    assert evidence[0] == evidence[1]
    parties = {side.did for side in both.sides}
    for content in evidence[0].values():
        assert {party.did for party in verify_file(content).parties} == parties


def ledger_is_whole(side: Side) -> None:
    """No line is missing, changed or there twice; a receipt was the newest leaf when it was signed."""
    lines = side.rows('SELECT "index", identifier, leaf, leaf_hash, kind FROM ledger ORDER BY "index"')
    assert [line[0] for line in lines] == list(range(len(lines)))
    assert [leaf_hash(line[2]) for line in lines] == [line[3] for line in lines]
    assert len({line[1] for line in lines}) == len(lines)
    hashes = [line[3] for line in lines]
    for index, identifier, *_, kind in lines:
        # A decision is an entry and nothing else; all others are files, too.
        inclusion = None if kind == "permit" else json.loads(documents(side)[identifier]).get("inclusion")
        if inclusion is not None:
            assert (inclusion["leafIndex"], inclusion["treeSize"]) == (index, index + 1)
            assert inclusion["treeHead"]["rootHash"] == root(hashes[: index + 1]).hex()


def each_release_once(both: Pair, kind: str) -> list[str]:
    """Receipts verify, are counted, and what the consumer has countersigned is the same on both sides.

    Returns:
        Identifiers of all receipts; the consumer need not have all of them: one
        side can die while an answer is on its way.
    """
    given, taken = documents(both.provider), documents(both.consumer)
    receipts = entered(both.provider, kind)
    for receipt in receipts:
        assert verify_file(given[receipt]).kind == "receipt"
    kept = {name: content for name, content in taken.items() if name.partition("#")[0] in receipts}
    assert kept == {name: given[name] for name in kept}, "a receipt is not the same on both sides"
    assert {name for name in kept if "#" not in name} == {name.partition("#")[0] for name in kept}
    for name, content in kept.items():
        assert ("#" in name) == (verify_file(content).missing == ())
    return receipts


def uses(both: Pair) -> int:
    """Uses that the provider has counted."""
    return sum(used for (used,) in both.provider.rows("SELECT used FROM uses"))


def entered(side: Side, kind: str) -> list[str]:
    """What the ledger says about releases or agreements."""
    return [name for (name,) in side.rows("SELECT identifier FROM ledger WHERE kind = ?", kind)]


def documents(side: Side) -> dict[str, bytes]:
    """All evidence files by name."""
    return dict(side.rows("SELECT identifier, content FROM documents"))
