"""Whether what a policy names exists: a limit on a column that nobody has would limit nothing."""

from collections.abc import Collection, Iterator

from policies.actions import COMPUTE, QUERY
from policies.errors import PolicyRefusedError
from policies.left_operands import ALLOWED_COLUMN, COLUMN_MASK, CONSENT, DENIED_COLUMN, EVENT, GROUP_UNIT
from policies.masks import parse_mask
from policies.model import LanguageMap, Permission, Policy, Prohibition
from policies.restrictions import (
    ComputationRestrictions,
    QueryRestrictions,
    comparisons_of,
    computation_restrictions,
    permitted_names,
    query_restrictions,
    values_in,
)
from policies.wording import sentence


def require_columns(policy: Policy, columns: Collection[str], units: Collection[str]) -> None:
    """Refuse a policy that names columns which the dataset does not have, or that leaves none.

    Args:
        policy: The policy.
        columns: The dataset's columns.
        units: Those of them that name a unit.

    Raises:
        PolicyRefusedError: A column does not exist, a group unit is no unit, or nothing is left.
    """
    for permission in policy.permissions:
        if permission.action in {QUERY, COMPUTE}:
            _require_known(permission, columns)
            _require_units(permission, units)
            _require_something(permission, columns)


def require_events(policy: Policy, known: Collection[str]) -> None:
    """Refuse an event that never goes on because nobody knows it; one in a prohibition would always hold.

    Args:
        policy: The policy.
        known: Names of the events in the calendar.

    Raises:
        PolicyRefusedError: An event is not in the calendar.
    """
    rules: tuple[Permission | Prohibition, ...] = (*policy.permissions, *policy.prohibitions)
    named = {
        value
        for rule in rules
        for part in comparisons_of(rule)
        if part.left_operand == EVENT
        for value in part.right_operand
    }
    if unknown := sorted(named - set(known)):
        raise PolicyRefusedError(
            EVENT,
            sentence(
                "Der Vertrag nennt Ereignisse, die nicht im Kalender stehen: {unknown}; es gibt: {known}. "
                "Ereignisse werden in der Konfiguration angegeben.",
                "The policy names events that are not in the calendar: {unknown}; there are: {known}. "
                "Events are stated in the configuration.",
                unknown=", ".join(unknown),
                known=_listed(known),
            ),
        )


def require_registers(policy: Policy, defined: Collection[str]) -> None:
    """Refuse a policy that names a register of consents which nobody keeps.

    Args:
        policy: The policy.
        defined: Names of the dataset's registers.

    Raises:
        PolicyRefusedError: A register is not defined.
    """
    named = {name for permission in policy.permissions for name in values_in(permission, CONSENT)}
    if unknown := sorted(named - set(defined)):
        raise PolicyRefusedError(
            CONSENT,
            sentence(
                "Die Einwilligungsregister {unknown} sind nicht festgelegt.",
                "The consent registers {unknown} are not defined.",
                unknown=", ".join(unknown),
            ),
        )


def _require_known(permission: Permission, columns: Collection[str]) -> None:
    named = dict(_named_columns(permission))
    if unknown := sorted(set(named) - set(columns)):
        raise PolicyRefusedError(
            named[unknown[0]],
            sentence(
                "Der Vertrag nennt Spalten, die der Datensatz nicht hat: {unknown}. Er hat: {columns}.",
                "The policy names columns that the dataset does not have: {unknown}. It has: {columns}.",
                unknown=", ".join(unknown),
                columns=_listed(columns),
            ),
        )


def _named_columns(permission: Permission) -> Iterator[tuple[str, str]]:
    """Yield each column that a permission names, and the left operand that names it."""
    for operand in (ALLOWED_COLUMN, DENIED_COLUMN, GROUP_UNIT):
        for name in values_in(permission, operand):
            yield name, operand
    for mask in values_in(permission, COLUMN_MASK):
        yield parse_mask(mask).column, COLUMN_MASK


def _require_units(permission: Permission, units: Collection[str]) -> None:
    if others := sorted(values_in(permission, GROUP_UNIT) - set(units)):
        raise PolicyRefusedError(
            GROUP_UNIT,
            sentence(
                "Die Zähleinheit {unit} ist nicht als Spalte beschrieben, die eine Einheit benennt.",
                "The group unit {unit} is not described as a unit column.",
                unit=others[0],
            ),
        )


def _require_something(permission: Permission, columns: Collection[str]) -> None:
    limits = _restrictions(permission)
    counted = isinstance(limits, QueryRestrictions) and limits.group_unit is not None
    if not counted and not permitted_names(limits, tuple(columns)):
        raise PolicyRefusedError(
            ALLOWED_COLUMN if limits.columns is not None else DENIED_COLUMN,
            sentence("Der Vertrag lässt keine Spalte übrig.", "The policy leaves no column."),
        )


def _restrictions(permission: Permission) -> QueryRestrictions | ComputationRestrictions:
    return (
        query_restrictions(permission) if permission.action == QUERY else computation_restrictions(permission)
    )


def _listed(names: Collection[str]) -> LanguageMap | str:
    return ", ".join(names) or {"de": "keine", "en": "none"}
