"""Which part of a file a request asks for.

Source:
    RFC 9110, sections 13.1.5 (If-Range) and 14 (range requests).
"""

import re
from typing import Final

from connector.services.handing_over import Part

_ONE_RANGE: Final = re.compile(r"bytes\s*=\s*(\d*)-(\d*)", re.ASCII | re.IGNORECASE)
_MOST_DIGITS: Final = 18
"""No file is larger; longer numbers would only cost time."""


class RangeNotSatisfiableError(Exception):
    """None of the bytes that were asked for exist.

    Attributes:
        size: How many there are.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has only {size} bytes.")
        self.size = size


def wanted_part(wanted: str | None, if_range: str | None, *, etag: str, size: int) -> Part | None:
    """The part of a file that a GET request asks for.

    Args:
        wanted: The header `Range`.
        if_range: The header `If-Range`.
        etag: The file's entity tag, as it stands in the header.
        size: Bytes of the file.

    Returns:
        The part; None for the whole file, also where several ranges or another
        unit are asked for, or a part of another version of the file.

    Raises:
        RangeNotSatisfiableError: It begins after the end of the file, or is empty.
    """
    found = _ONE_RANGE.fullmatch((wanted or "").strip())
    if found is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = found.groups()
    if max(len(first), len(last)) > _MOST_DIGITS or not first + last:
        return None
    if not first:
        length = min(int(last), size)
        return _satisfiable(size - length, size - 1, size)
    if last and int(last) < int(first):
        return None
    return _satisfiable(int(first), min(int(last), size - 1) if last else size - 1, size)


def _satisfiable(first: int, last: int, size: int) -> Part:
    if first > last:
        raise RangeNotSatisfiableError(size)
    return Part(first, last)
