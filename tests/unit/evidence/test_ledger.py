"""The Merkle log, against the known answers of RFC 6962 and against its own definition."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.evidence.errors import LedgerError
from connector.evidence.ledger import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root,
    tree_head,
    verify_consistency,
    verify_inclusion,
)

# The reference inputs and answers of the certificate-transparency test vectors.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSIONS = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCIES = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]

leaf_lists = st.lists(st.binary(max_size=4).map(leaf_hash), max_size=70)


def unhex(path: Any) -> Any:
    return tuple(bytes.fromhex(step) for step in path)


@pytest.mark.parametrize("size", range(9))
def test_the_root_of_the_first_entries_is_the_published_one(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSIONS)
def test_inclusion_paths_are_the_published_ones_and_verify(index: int, size: int, path: Any) -> None:
    assert inclusion_path(LEAVES[:size], index) == unhex(path)
    verify_inclusion(
        leaf=LEAVES[index], index=index, size=size, path=unhex(path), root=bytes.fromhex(ROOTS[size])
    )


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCIES)
def test_consistency_paths_are_the_published_ones_and_verify(old: int, new: int, path: Any) -> None:
    assert consistency_path(LEAVES[:new], old) == unhex(path)
    verify_consistency(
        old_size=old,
        new_size=new,
        old_root=bytes.fromhex(ROOTS[old]),
        new_root=bytes.fromhex(ROOTS[new]),
        path=unhex(path),
    )


def test_leaves_and_nodes_are_hashed_in_different_domains() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(b"a") == hashlib.sha256(b"\x00a").digest()
    assert node_hash(left, right) == hashlib.sha256(b"\x01" + left + right).digest()
    assert leaf_hash(left + right) != node_hash(left, right)


@given(leaf_lists)
def test_a_frontier_always_has_the_root_and_the_paths_of_the_whole_ledger(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for index, leaf in enumerate(leaves):
        appended = frontier.append(leaf)
        frontier = appended.frontier
        assert appended.index == index
        assert appended.path == inclusion_path(leaves[: index + 1], index)
        assert frontier.root() == root(leaves[: index + 1])
    assert frontier.size == len(leaves)
    assert frontier.root() == root(leaves)


@given(leaf_lists.filter(len), st.data())
def test_every_entry_has_an_inclusion_proof_that_holds_only_at_its_place(
    leaves: list[bytes], data: st.DataObject
) -> None:
    size = len(leaves)
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    path, head = inclusion_path(leaves, index), root(leaves)
    verify_inclusion(leaf=leaves[index], index=index, size=size, path=path, root=head)
    # A neighbour with the same hash makes the places equal; nothing else does.
    if other != index and len(set(leaves)) == size:
        with pytest.raises(LedgerError):
            verify_inclusion(leaf=leaves[index], index=other, size=size, path=path, root=head)
    for wrong in ((*path, head), path[:-1]):
        if wrong != path:
            with pytest.raises(LedgerError):
                verify_inclusion(leaf=leaves[index], index=index, size=size, path=wrong, root=head)


@given(leaf_lists, st.data())
def test_every_older_state_has_a_consistency_proof(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(0, len(leaves)))
    verify_consistency(
        old_size=old,
        new_size=len(leaves),
        old_root=root(leaves[:old]),
        new_root=root(leaves),
        path=consistency_path(leaves, old),
    )


@given(leaf_lists.filter(len), st.data())
def test_a_changed_history_has_no_consistency_proof(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    place = data.draw(st.integers(0, old - 1))
    forged = [*leaves[:place], leaf_hash(b"forged"), *leaves[place + 1 :]]
    with pytest.raises(LedgerError):
        verify_consistency(
            old_size=old,
            new_size=len(leaves),
            old_root=root(leaves[:old]),
            new_root=root(forged),
            path=consistency_path(forged, old),
        )


@pytest.mark.parametrize("old", [1, 2, 4])
def test_an_empty_consistency_proof_between_different_sizes_is_refused(old: int) -> None:
    with pytest.raises(LedgerError):
        verify_consistency(
            old_size=old, new_size=7, old_root=root(LEAVES[:old]), new_root=root(LEAVES[:7]), path=()
        )


def test_an_empty_consistency_proof_is_refused_where_no_old_root_helps() -> None:
    with pytest.raises(LedgerError, match="empty"):
        verify_consistency(old_size=3, new_size=7, old_root=root(LEAVES[:3]), new_root=ROOTS[7], path=())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"old_size": 9}, "shrank"),
        ({"old_size": 8, "old_root": b"x" * 32}, "different roots"),
        ({"old_size": 0, "old_root": b"x" * 32}, "empty ledger"),
        ({"old_size": 0, "old_root": EMPTY_ROOT, "path": (b"x" * 32,)}, "must be empty"),
    ],
)
def test_impossible_histories_are_refused_with_a_reason(change: Any, sentence: str) -> None:
    case = {"old_size": 8, "new_size": 8, "old_root": root(LEAVES), "new_root": root(LEAVES), "path": ()}
    with pytest.raises(LedgerError, match=sentence):
        verify_consistency(**(case | change))


@pytest.mark.parametrize(("index", "size"), [(-1, 8), (8, 8), (0, 0)])
def test_entries_outside_the_ledger_are_refused(index: int, size: int) -> None:
    with pytest.raises(LedgerError):
        inclusion_path(LEAVES[:size], index)
    with pytest.raises(LedgerError):
        verify_inclusion(leaf=LEAVES[0], index=index, size=size, path=(), root=EMPTY_ROOT)


def test_sizes_the_ledger_never_had_are_refused() -> None:
    with pytest.raises(LedgerError, match="never had 9"):
        consistency_path(LEAVES, 9)


def test_a_stored_frontier_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(LedgerError, match="peaks"):
        Frontier(3, (LEAVES[0],))


def test_a_tree_head_says_which_ledger_had_which_root_when() -> None:
    head = tree_head(
        size=8,
        root=root(LEAVES),
        ledger_id="did:web:a.example#ledger",
        created=datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
    )
    assert head["treeSize"] == 8
    assert head["rootHash"] == ROOTS[8]
    assert head["timestamp"] == "2026-11-21T08:00:00Z"
    assert head["ledger"] == "did:web:a.example#ledger"
