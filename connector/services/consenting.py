"""Consenting: the rows of those who have consented, as they stand at this use."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from connector.ports import ConsentRegisters, TableDescription
from connector.queries.errors import DataUnreadableError
from policies.consents import ConsentError, ConsentRegister, consenting, require_comparable
from policies.row_filters import RowFilter


async def usable_registers(
    registers: ConsentRegisters, stated: Mapping[str, ConsentRegister], description: TableDescription
) -> Mapping[str, ConsentRegister]:
    """Make sure that registers fit the data, and can be read.

    Args:
        registers: Reads them.
        stated: Where they are kept, by the names that policies call them.
        description: What the data file holds.

    Returns:
        The same, with the types of the columns that name the subjects.

    Raises:
        ConsentError: A column does not exist, or cannot name subjects.
        DataUnreadableError: A file is missing or malformed.
    """
    known = dict(description.columns)
    usable = {}
    for name, one in stated.items():
        if one.column not in known:
            raise ConsentError(
                f"The consent register {name!r} names the column {one.column!r}, which does not exist.",
                f"Das Einwilligungsregister {name!r} nennt die Spalte {one.column!r}, die es nicht gibt.",
            )
        usable[name] = replace(one, data_type=known[one.column])
        require_comparable(name, usable[name])
        await registers.consents(one.file)
    return usable


async def consent_filters(
    registers: ConsentRegisters,
    defined: Mapping[str, ConsentRegister],
    names: Sequence[str],
    purpose: str | None,
    now: datetime,
) -> Mapping[str, RowFilter]:
    """Read the registers that an agreement names, anew, and say which rows exist because of them.

    Args:
        registers: Reads them.
        defined: The dataset's registers.
        names: What the agreement calls them.
        purpose: What the rows are wanted for.
        now: The current time.

    Returns:
        A filter for each name.

    Raises:
        DataUnreadableError: One is not defined, missing or malformed: nobody has consented then.
    """
    filters = {}
    for name in names:
        register = defined.get(name)
        if register is None:
            raise DataUnreadableError(
                f"The provider has not defined the consent register {name}.",
                f"Der Anbieter hat das Einwilligungsregister {name} nicht festgelegt.",
            )
        filters[name] = consenting(register, await registers.consents(register.file), purpose, now)
    return filters
