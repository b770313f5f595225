"""Identifiers and digests at a length that people can read, the full value one step away."""

import re
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 40
_HEAD, _TAIL = 8, 6
_DID_WEB: Final = "did:web:"
_UUID: Final = re.compile(r"urn:uuid:([0-9a-f]{8})-[0-9a-f-]{27}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_IN_TEXT: Final = re.compile(
    rf"\b[0-9a-f]{{64}}\b|\burn:uuid:[0-9a-f-]{{36}}\b|\bdid:web:[A-Za-z0-9._:%-]+|\bhttps?://\S{{{_LONGEST},}}"
)


def shortened(identifier: str) -> str:
    """An identifier at a length that people can read and compare.

    Args:
        identifier: A DID, an IRI or a digest.

    Returns:
        The host of a `did:web`, the beginning of a UUID, both ends of a
        digest and of anything else that is long; other text as it is.
    """
    if identifier.startswith(_DID_WEB):
        # Only the port's colon is decoded: anything else could make one host look like another.
        host, *path = identifier.removeprefix(_DID_WEB).split(":")
        return _both_ends("/".join([host.replace("%3A", ":").replace("%3a", ":"), *path]))
    uuid = _UUID.fullmatch(identifier)
    if uuid is not None:
        return f"{uuid[1]}…"
    if _DIGEST.fullmatch(identifier):
        return f"{identifier[:_HEAD]}…{identifier[-_TAIL:]}"
    return _both_ends(identifier)


def _both_ends(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = (_LONGEST - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a sentence.

    Attributes:
        text: What is shown.
        full: The identifier that the text stands for; None for plain words.
    """

    text: str
    full: str | None = None


def pieces_of(text: str) -> tuple[Piece, ...]:
    """Take a sentence apart, so that a page can show every identifier short.

    Args:
        text: A sentence, from wherever.

    Returns:
        Its words and identifiers in their order; together they are the sentence.
    """
    pieces, end = [], 0
    for found in _IN_TEXT.finditer(text):
        full = found[0].rstrip(".:,;")
        pieces += [Piece(text[end : found.start()]), Piece(shortened(full), full)]
        end = found.start() + len(full)
    return tuple(piece for piece in (*pieces, Piece(text[end:])) if piece.text)
