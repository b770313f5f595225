"""The ledger: a log to which entries are only ever appended, as a Merkle tree.

Whoever keeps an old tree head can check that nothing before it was changed or
removed (consistency), and whoever holds a receipt that it is in the log
(inclusion), without seeing any other entry.

Source:
    RFC 6962, section 2.1 (hashes and proofs); RFC 9162, sections 2.1.3.2 and
    2.1.4.2 (verification algorithms).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connector.evidence.agreements import CONTEXT
from connector.evidence.errors import LedgerError
from schemas.strict_json import JsonObject

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of a ledger without entries."""
TREE_HEAD_MEMBERS: Final = ("@context", "type", "ledger", "treeSize", "rootHash", "timestamp")


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves the left subtree has."""
    return 1 << ((size - 1).bit_length() - 1)


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The hash that stands for all entries and their order."""
    if not leaf_hashes:
        return EMPTY_ROOT
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = _split(len(leaf_hashes))
    return node_hash(root(leaf_hashes[:split]), root(leaf_hashes[split:]))


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The hashes that lead from one entry to the root, lowest first.

    Takes time proportional to the ledger; `Frontier.append` gives the path of a
    new entry without it.

    Raises:
        LedgerError: There is no such entry.
    """
    if not 0 <= index < len(leaf_hashes):
        raise LedgerError(f"The ledger has {len(leaf_hashes)} entries; there is no entry {index}.")
    if len(leaf_hashes) == 1:
        return ()
    split = _split(len(leaf_hashes))
    if index < split:
        return (*inclusion_path(leaf_hashes[:split], index), root(leaf_hashes[split:]))
    return (*inclusion_path(leaf_hashes[split:], index - split), root(leaf_hashes[:split]))


def verify_inclusion(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that an entry is in a ledger of this size and root, at this position.

    Args:
        leaf: Hash of the entry (`leaf_hash`).
        index: Its position, from 0.
        size: Number of entries.
        path: The hashes that lead to the root, lowest first.
        root: The root hash that is trusted, from a signed tree head.

    Raises:
        LedgerError: The proof does not lead to that root.

    Source:
        RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise LedgerError(
            f"A ledger of {size} entries has no entry {index}.",
            f"Ein Protokoll mit {size} Einträgen hat keinen Eintrag {index}.",
        )
    reached = leaf
    for sibling, is_left in _climb(path, index, size - 1):
        reached = node_hash(sibling, reached) if is_left else node_hash(reached, sibling)
    if reached != root:
        raise LedgerError(
            "The inclusion proof does not lead from the entry to the tree head's root.",
            "Der Nachweis führt nicht vom Eintrag zur Wurzel des Standes.",
        )


def _climb(path: Sequence[bytes], position: int, last: int) -> Iterator[tuple[bytes, bool]]:
    """The steps from a node to the root: the sibling of each, and whether it is the left one.

    Names of RFC 9162: `position` is fn, `last` is sn.
    """
    for sibling in path:
        if last == 0:
            raise LedgerError(
                "The proof is longer than the tree is high.",
                "Der Nachweis ist länger, als der Baum hoch ist.",
            )
        is_left = bool(position & 1) or position == last
        yield sibling, is_left
        # A right edge without a sibling of its own climbs until it has one.
        while is_left and position and not position & 1:
            position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
    if last:
        raise LedgerError(
            "The proof is shorter than the tree is high.", "Der Nachweis ist kürzer, als der Baum hoch ist."
        )


def consistency_path(leaf_hashes: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """The hashes that show that the ledger still begins with its first `old_size` entries.

    Raises:
        LedgerError: The ledger never had that size.
    """
    if not 0 <= old_size <= len(leaf_hashes):
        raise LedgerError(f"The ledger has {len(leaf_hashes)} entries; it never had {old_size}.")
    return _subproof(leaf_hashes, old_size, known=True) if old_size else ()


def _subproof(leaf_hashes: Sequence[bytes], old_size: int, *, known: bool) -> tuple[bytes, ...]:
    """SUBPROOF of RFC 6962, section 2.1.2; `known` while the old root covers exactly this subtree."""
    if old_size == len(leaf_hashes):
        return () if known else (root(leaf_hashes),)
    split = _split(len(leaf_hashes))
    if old_size <= split:
        return (*_subproof(leaf_hashes[:split], old_size, known=known), root(leaf_hashes[split:]))
    return (*_subproof(leaf_hashes[split:], old_size - split, known=False), root(leaf_hashes[:split]))


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that a ledger only grew between two tree heads.

    Raises:
        LedgerError: An entry was changed, removed or reordered, or the proof is wrong.

    Source:
        RFC 9162, section 2.1.4.2.
    """
    if old_size > new_size:
        raise LedgerError(
            f"The ledger shrank from {old_size} to {new_size} entries.",
            f"Das Protokoll ist von {old_size} auf {new_size} Einträge geschrumpft.",
        )
    if old_size in (0, new_size):
        _require_trivial_consistency(old_size, new_size, old_root, new_root, path)
        return
    hashes = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    if not hashes:
        raise LedgerError(
            "The consistency proof is empty.", "Der Nachweis, dass das Protokoll nur gewachsen ist, ist leer."
        )
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_reached = new_reached = hashes[0]
    for sibling, is_left in _climb(hashes[1:], position, last):
        old_reached = node_hash(sibling, old_reached) if is_left else old_reached
        new_reached = node_hash(sibling, new_reached) if is_left else node_hash(new_reached, sibling)
    if old_reached != old_root or new_reached != new_root:
        raise LedgerError(
            "The ledger's history was changed: the new tree head does not continue the old.",
            "Die Geschichte des Protokolls wurde verändert: Der neue Stand setzt den alten nicht fort.",
        )


def _require_trivial_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    if path:
        raise LedgerError(
            "The consistency proof must be empty here.",
            "Der Nachweis, dass das Protokoll nur gewachsen ist, muss hier leer sein.",
        )
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise LedgerError(
            "The tree head of the empty ledger has a wrong root.",
            "Der Stand des leeren Protokolls hat eine falsche Wurzel.",
        )
    if old_size == new_size and old_root != new_root:
        raise LedgerError(
            "Two tree heads of the same size have different roots: the history was changed.",
            "Zwei Stände gleicher Größe haben verschiedene Wurzeln: Die Geschichte wurde verändert.",
        )


@dataclass(frozen=True, slots=True)
class Appended:
    """A ledger after one more entry.

    Attributes:
        frontier: The ledger as it is now.
        index: Position of the new entry.
        path: The new entry's inclusion path in the ledger as it is now.
    """

    frontier: "Frontier"
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that must be kept of a ledger to append to it: one hash per set bit of its size.

    Attributes:
        size: Number of entries.
        peaks: Roots of the full subtrees that the ledger consists of, largest first.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise LedgerError(f"A ledger of {self.size} entries does not have {len(self.peaks)} peaks.")

    def append(self, leaf: bytes) -> Appended:
        """Add an entry's hash, in time proportional to the logarithm of the size."""
        peaks, carry, height = list(self.peaks), leaf, self.size
        while height & 1:
            carry, height = node_hash(peaks.pop(), carry), height >> 1
        frontier = Frontier(self.size + 1, (*peaks, carry))
        return Appended(frontier, self.size, tuple(reversed(self.peaks)))

    def root(self) -> bytes:
        """The root hash of the ledger."""
        if not self.peaks:
            return EMPTY_ROOT
        *rest, reached = self.peaks
        for peak in reversed(rest):
            reached = node_hash(peak, reached)
        return reached


def frontier_of(leaf_hashes: Iterable[bytes]) -> Frontier:
    """The frontier of a whole ledger, in time proportional to its size."""
    frontier = Frontier()
    for leaf in leaf_hashes:
        frontier = frontier.append(leaf).frontier
    return frontier


def tree_head(*, size: int, root: bytes, ledger_id: str, created: datetime) -> JsonObject:
    """The state of a ledger as a statement, to be signed by its keeper (`proofs.sign`).

    Args:
        size: Number of entries.
        root: Root hash.
        ledger_id: The ledger's keeper, such as `did:web:daten.example.de`; each has one.
        created: When, with a time zone.
    """
    return {
        "@context": list(CONTEXT),
        "type": "TreeHead",
        "ledger": ledger_id,
        "treeSize": size,
        "rootHash": root.hex(),
        "timestamp": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
