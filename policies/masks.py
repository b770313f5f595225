"""Masks: how a column is changed before anybody's query or job sees it.

A mask is written `column=method` in a policy. What it does to the data is the
matter of whoever makes the projection; here are its meaning and its type.

| method | the column becomes |
|---|---|
| `hash` | a keyed hash (HMAC-SHA-256, 32 hexadecimal digits) under the agreement's own key, as text |
| `null` | empty, of the same type |
| `truncate:N` | its first N characters; texts only |
| `generalise:STEP` | the beginning of the minute … year (times), or the multiple of STEP below (numbers) |
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies.left_operands import MASK_FORM


class MaskMethod(StrEnum):
    """What a mask does; several masks of one column are applied in this order."""

    TRUNCATE = "truncate"
    GENERALISE = "generalise"
    HASH = "hash"
    NULL = "null"


_ORDER: Final = tuple(MaskMethod)


@dataclass(frozen=True, slots=True)
class Mask:
    """How one column is masked.

    Attributes:
        column: The column's name.
        method: What is done to it.
        length: How many characters stay, for `TRUNCATE`.
        step: `minute`, `hour`, … `year` or a number as it is written, for `GENERALISE`.
    """

    column: str
    method: MaskMethod
    length: int | None = None
    step: str | None = None


def parse_mask(value: str) -> Mask:
    """Read a mask as it stands in a policy, such as `postcode=truncate:2`.

    Raises:
        ValueError: It has another form; a policy that has been read holds none such.
    """
    found = MASK_FORM.pattern.fullmatch(value)
    if found is None:
        raise ValueError(f"{value!r} is no mask.")
    length = found["length"]
    return Mask(
        found["column"],
        MaskMethod(found["method"]),
        None if length is None else int(length),
        found["step"],
    )


def masks_of(column: str, masks: Iterable[Mask]) -> tuple[Mask, ...]:
    """The masks of one column, in the order in which they are applied."""
    return tuple(
        sorted((mask for mask in masks if mask.column == column), key=lambda mask: _ORDER.index(mask.method))
    )
