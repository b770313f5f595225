"""What an agreement leaves of a table: withheld columns are gone, hashed ones are of another kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from catalog.model import Column, ColumnRole
from policies.masks import Mask, MaskMethod, masks_of
from policies.restrictions import ComputationRestrictions, QueryRestrictions, permitted_names
from policies.row_filters import RowFilter, RowFilterError, named_filters

_HASHED = "string"
_NOBODY: Final[Mapping[str, RowFilter]] = {}


@dataclass(frozen=True, slots=True)
class Redaction:
    """How a data file is changed on the way into a projection.

    Attributes:
        masks: How columns are changed.
        filters: Which rows are taken; all of them have to hold.
        agreement: IRI of the agreement: masks that hash have a key of their own in each.
    """

    masks: tuple[Mask, ...] = ()
    filters: tuple[RowFilter, ...] = ()
    agreement: str = ""


def redaction_under(
    restrictions: QueryRestrictions | ComputationRestrictions,
    defined: Mapping[str, RowFilter],
    agreement: str,
    consented: Mapping[str, RowFilter] = _NOBODY,
) -> Redaction:
    """Collect what is done to the data under an agreement before any statement or job sees them.

    Args:
        restrictions: What the agreement leaves.
        defined: The provider's row filters.
        agreement: IRI of the agreement.
        consented: Whose rows exist, by the register of consents that says so.

    Raises:
        RowFilterError: The agreement names a filter that the provider has not defined,
            or a register of consents that was not read.
    """
    filters = named_filters(restrictions.row_filters, defined)
    if unread := sorted(set(restrictions.consents) - set(consented)):
        raise RowFilterError(
            f"The consent registers {', '.join(unread)} were not read.",
            f"Die Einwilligungsregister {', '.join(unread)} wurden nicht gelesen.",
        )
    filters += tuple(consented[name] for name in restrictions.consents)
    # Without a mask that hashes, agreements share projections.
    hashed = any(mask.method is MaskMethod.HASH for mask in restrictions.masks)
    return Redaction(restrictions.masks, filters, agreement if hashed else "")


def permitted_columns(columns: Sequence[Column], restrictions: QueryRestrictions) -> tuple[Column, ...]:
    """Give the columns that exist for a statement, as they look after masking.

    Args:
        columns: The dataset's columns.
        restrictions: What the agreement leaves.
    """
    names = set(permitted_names(restrictions, [column.name for column in columns]))
    return tuple(column for column in masked_columns(columns, restrictions) if column.name in names)


def masked_columns(columns: Sequence[Column], restrictions: QueryRestrictions) -> tuple[Column, ...]:
    """Give all columns of a dataset as they look after masking: a hash is a text to group by."""
    return tuple(_masked(column, restrictions.masks) for column in columns)


def _masked(column: Column, masks: Sequence[Mask]) -> Column:
    if MaskMethod.HASH not in {mask.method for mask in masks_of(column.name, masks)}:
        return column
    role = column.role if column.role is ColumnRole.UNIT else ColumnRole.DIMENSION
    return replace(column, data_type=_HASHED, role=role, step=None)


def projected_columns(columns: Sequence[Column], restrictions: QueryRestrictions) -> tuple[str, ...]:
    """Name the columns of the projection: the permitted ones, and the group unit, which is only counted."""
    names = list(dict.fromkeys(column.name for column in columns))
    permitted = {*permitted_names(restrictions, names), restrictions.group_unit}
    return tuple(name for name in names if name in permitted)
