"""Consenting: the rows of those who have consented, as they stand at this use."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from connector.ports import ConsentRegisters, PublishedDataset
from connector.queries.errors import DataUnreadableError
from policies.consents import consenting
from policies.row_filters import RowFilter


async def consent_filters(
    registers: ConsentRegisters,
    published: PublishedDataset,
    names: Sequence[str],
    purpose: str | None,
    now: datetime,
) -> Mapping[str, RowFilter]:
    """Read the registers that an agreement names, anew, and say which rows exist because of them.

    Args:
        registers: Reads them.
        published: The dataset.
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
        register = published.consents.get(name)
        if register is None:
            raise DataUnreadableError(f"The provider has not defined the consent register {name}.")
        filters[name] = consenting(register, await registers.consents(register.file), purpose, now)
    return filters
