"""The signed documents inside evidence files, and what they look like with one character changed."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SignedDocument:
    """A document with its proofs.

    Attributes:
        name: Unique in one run.
        content: The document.
        signers: How many must have signed it.
    """

    name: str
    content: dict[str, Any]
    signers: int


def signed_documents_in(file: dict[str, Any]) -> Iterator[SignedDocument]:
    """Everything in an evidence file that carries a signature of its own."""
    if file.get("type") == "SignedAgreementFile":
        statement = file["signedAgreement"]
        yield SignedDocument(f"agreement {statement['id']}", statement, 2)
    elif file.get("type") == "ReleaseReceiptFile":
        receipt, head = file["signedReceipt"], file["inclusion"]["treeHead"]
        yield SignedDocument(f"receipt {receipt['id']}", receipt, 1)
        yield SignedDocument(f"tree head {head['ledger']} of {head['treeSize']} for {receipt['id']}", head, 1)
        if "countersignature" in file:
            statement = file["countersignature"]
            yield SignedDocument(f"countersignature {statement['id']}", statement, 1)


def did_documents_in(file: dict[str, Any]) -> dict[str, Any]:
    """The DID documents that an evidence file encloses."""
    documents: dict[str, Any] = file.get("didDocuments", {})
    return documents


def altered(document: SignedDocument) -> list[SignedDocument]:
    """The document with one character changed, once for each of its values."""
    changed = []
    for path in _leaves(document.content):
        content = copy.deepcopy(document.content)
        parent: Any = content
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = _other(parent[path[-1]])
        place = "/".join(map(str, path))
        changed.append(SignedDocument(f"{document.name} with another {place}", content, document.signers))
    return changed


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(entry, (*path, key))
    elif value is not None:
        yield path


def _other(value: Any) -> Any:
    """The value with one character changed; of a text, the one in its middle."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        middle = len(value) // 2
        other = "1" if value[middle : middle + 1] != "1" else "2"
        return value[:middle] + other + value[middle + 1 :]
    return value + 1
