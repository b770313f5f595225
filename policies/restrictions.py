"""What a permission leaves of a dataset: restrictions as data, never as SQL."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from policies.actions import RAW, REPRODUCE, includes
from policies.dominance import DominanceRule
from policies.left_operands import (
    ALGORITHM_DIGEST,
    ALLOWED_COLUMN,
    COLUMN_MASK,
    CONSENT,
    CONTRIBUTION_BOUND,
    COUNT,
    DENIED_COLUMN,
    DOMINANCE_FORM,
    EPSILON_PER_QUERY,
    EPSILON_TOTAL,
    GROUP_UNIT,
    LEFT_OPERANDS,
    MAX_CELL_DOMINANCE,
    MAX_RESULT_ROWS,
    METERED_TIME,
    MIN_GROUP_ROWS,
    MIN_GROUP_SIZE,
    NOISE,
    OUTPUT_KIND,
    OUTPUT_REVIEW,
    P_PERCENT,
    ROUNDING_BASE,
    ROW_FILTER,
    TIME_INTERVAL,
)
from policies.masks import Mask, parse_mask
from policies.model import (
    AnyConstraint,
    Connective,
    Constraint,
    LanguageMap,
    Operator,
    Permission,
    Policy,
    Prohibition,
)
from policies.privacy import NoiseTerms
from policies.values import ValueType, read_value
from schemas.strict_json import JsonValue

DEFAULT_MINIMUM_ROWS: Final = 10
"""Fewest rows of a released group where the permission states no number."""

DEFAULT_MINIMUM_UNITS: Final = 10
"""Fewest units of a released group where the permission names a unit but no number."""

DEFAULT_MAXIMUM_RESULT_ROWS: Final = 10_000
"""Most rows of a released result where the permission states no number."""


@dataclass(frozen=True, slots=True)
class QueryRestrictions:
    """The limits that one agreement puts on a governed query.

    Attributes:
        columns: Columns that exist for the query; None where the agreement
            withholds none.
        group_unit: Column whose distinct values a group must hold enough of;
            None where rows are counted instead.
        minimum_units: Fewest distinct units in a released group.
        minimum_rows: Fewest rows in a released group.
        maximum_result_rows: Most rows in a released result.
        denied: Columns that do not exist for the query, whatever `columns` says.
        masks: How columns are changed before the query sees them.
        row_filters: Names of the provider's filters that decide which rows
            exist; all of them.
        dominance: The (n,k) rules that a released sum keeps; all of them.
        p_percent: The p% rule that a released sum keeps; None where there is none.
        rounding_base: Counts leave as multiples of it; None where they leave as they are.
        noise: What differential privacy asks; None where exact figures leave. With
            noise no exact figure is checked: the minimum of rows is one of noisy rows.
        consents: Names of the provider's registers of consents: only rows of
            those who have consented in each of them exist.
    """

    columns: tuple[str, ...] | None
    group_unit: str | None
    minimum_units: int
    minimum_rows: int
    maximum_result_rows: int
    denied: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()
    row_filters: tuple[str, ...] = ()
    dominance: tuple[DominanceRule, ...] = ()
    p_percent: int | None = None
    rounding_base: int | None = None
    noise: NoiseTerms | None = None
    consents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComputationRestrictions:
    """The limits that one agreement puts on a computation.

    Attributes:
        columns: Columns that the job sees; None where none is withheld.
        algorithms: SHA-256 digests (64 lower-case hexadecimal digits) of the
            algorithms that may run.
        output_kinds: Kinds of output that may be released, such as `metrics`
            and `model`.
        review: `auto` where checked outputs leave by themselves, `manual`
            where a person releases them.
        denied: Columns that the job does not see, whatever `columns` says.
        masks: How columns are changed before the job sees them.
        row_filters: Names of the provider's filters that decide which rows
            the job sees; all of them.
        consents: Names of the provider's registers of consents: the job sees
            only rows of those who have consented in each of them.
    """

    columns: tuple[str, ...] | None
    algorithms: frozenset[str]
    output_kinds: frozenset[str]
    review: str
    denied: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()
    row_filters: tuple[str, ...] = ()
    consents: tuple[str, ...] = ()


def query_restrictions(permission: Permission) -> QueryRestrictions:
    """Collect the limits that a permission puts on a governed query.

    Where a permission states a limit twice, the tighter one holds. Without a
    unit of counting, a minimum group size counts rows.

    Args:
        permission: The permission that opened the request.

    Returns:
        The limits, with the defaults of the profile where it is silent.
    """
    unit = min(values_in(permission, GROUP_UNIT), default=None)
    size = _largest(permission, MIN_GROUP_SIZE)
    rows = _largest(permission, MIN_GROUP_ROWS) or DEFAULT_MINIMUM_ROWS
    noise = _noise(permission)
    return QueryRestrictions(
        columns=_columns(permission),
        group_unit=unit,
        minimum_units=1 if unit is None or noise else size or DEFAULT_MINIMUM_UNITS,
        minimum_rows=max(rows, size or 1) if unit is None else rows,
        maximum_result_rows=min(_numbers(permission, MAX_RESULT_ROWS), default=DEFAULT_MAXIMUM_RESULT_ROWS),
        denied=_named(permission, DENIED_COLUMN),
        masks=_masks(permission),
        row_filters=_named(permission, ROW_FILTER),
        dominance=_dominance(permission),
        p_percent=_largest(permission, P_PERCENT),
        rounding_base=_largest(permission, ROUNDING_BASE),
        noise=noise,
        consents=_named(permission, CONSENT),
    )


def computation_restrictions(permission: Permission) -> ComputationRestrictions:
    """Collect the limits that a permission puts on a computation.

    Args:
        permission: The permission that opened the request.

    Returns:
        The limits. Where the permission is silent, no algorithm may run, no
        output may leave, and a person reviews.
    """
    reviews = values_in(permission, OUTPUT_REVIEW)
    return ComputationRestrictions(
        columns=_columns(permission),
        algorithms=frozenset(_common(permission, ALGORITHM_DIGEST) or ()),
        output_kinds=frozenset(_common(permission, OUTPUT_KIND) or ()),
        review="auto" if reviews == {"auto"} else "manual",
        denied=_named(permission, DENIED_COLUMN),
        masks=_masks(permission),
        row_filters=_named(permission, ROW_FILTER),
        consents=_named(permission, CONSENT),
    )


def permitted_names(
    restrictions: QueryRestrictions | ComputationRestrictions, names: Sequence[str]
) -> tuple[str, ...]:
    """Say which columns of a table exist under the restrictions, in the table's order.

    Args:
        restrictions: What an agreement leaves.
        names: The table's columns.
    """
    allowed = names if restrictions.columns is None else restrictions.columns
    return tuple(name for name in names if name in allowed and name not in restrictions.denied)


def opens_raw_data(permission: Permission) -> bool:
    """Say whether a permission is wide enough for the data file as it is to be handed out.

    A limit on queries or computations would mean nothing to a raw copy, so a
    permission that states one never opens it.
    """
    return includes(permission.action, REPRODUCE) and all(
        part.left_operand in LEFT_OPERANDS and REPRODUCE in LEFT_OPERANDS[part.left_operand].actions
        for part in comparisons_of(permission)
    )


def offers_raw_data(policy: Policy) -> bool:
    """Say whether a policy lets the data file as it is leave: permitted, and not simply prohibited.

    A prohibition with conditions does not decide here but with each access.
    """
    prohibited = any(
        includes(prohibition.action, action)
        for prohibition in policy.prohibitions
        if not prohibition.constraints and not prohibition.refinements
        for action in RAW
    )
    return not prohibited and any(opens_raw_data(permission) for permission in policy.permissions)


def use_limit(permission: Permission) -> int | None:
    """Say how many uses a permission allows at most; None where it sets no limit.

    Source:
        ODRL 2.2, `count`: `lteq 20` allows twenty uses, `lt 20` nineteen.
    """
    limits = [
        int(value) - (part.operator is Operator.LT)
        for part in limits_of(permission)
        if part.left_operand == COUNT
        for value in part.right_operand
    ]
    return max(min(limits), 0) if limits else None


def least_interval(permission: Permission) -> timedelta | None:
    """Say how far apart two uses must lie at least; None where the permission does not say."""
    found = [
        length + (_INSTANT if part.operator is Operator.GT else timedelta(0))
        for part, length in _durations(permission, TIME_INTERVAL)
    ]
    return max(found, default=None)


def most_metered(permission: Permission) -> timedelta | None:
    """Say for how long computations may run in all; None where the permission does not say."""
    return min((length for _, length in _durations(permission, METERED_TIME)), default=None)


_INSTANT: Final = timedelta(microseconds=1)


def _durations(permission: Permission, left_operand: str) -> Iterator[tuple[Constraint, timedelta]]:
    for part in limits_of(permission):
        if part.left_operand == left_operand:
            length = read_value(ValueType.DURATION, part.right_operand[0], part.data_type)
            if not isinstance(length, timedelta):
                raise ValueError(
                    f"{part.right_operand} is no duration; a policy that is read holds none such."
                )
            yield part, length


def limits_of(permission: Permission) -> Iterator[Constraint]:
    """Yield the comparisons that hold in every case: those outside `or` and `xone`."""
    for constraint in (*permission.constraints, *permission.refinements):
        yield from _always(constraint)


def comparisons_of(rule: Permission | Prohibition) -> Iterator[Constraint]:
    """Yield every comparison of a rule, those inside `or` and `xone`, too."""
    for constraint in (*rule.constraints, *rule.refinements):
        yield from _comparisons(constraint)


def values_in(permission: Permission, left_operand: str) -> set[str]:
    """Collect every value that a permission states for a left operand."""
    return {
        value
        for part in limits_of(permission)
        if part.left_operand == left_operand
        for value in part.right_operand
    }


def _comparisons(constraint: AnyConstraint) -> Iterator[Constraint]:
    if isinstance(constraint, Constraint):
        yield constraint
        return
    for operand in constraint.operands:
        yield from _comparisons(operand)


def _always(constraint: AnyConstraint) -> Iterator[Constraint]:
    if isinstance(constraint, Constraint):
        yield constraint
    elif constraint.connective in {Connective.AND, Connective.AND_SEQUENCE}:
        for operand in constraint.operands:
            yield from _always(operand)


def _numbers(permission: Permission, left_operand: str) -> list[int]:
    return [int(value) for value in values_in(permission, left_operand)]


def _largest(permission: Permission, left_operand: str) -> int | None:
    return max(_numbers(permission, left_operand), default=None)


def _noise(permission: Permission) -> NoiseTerms | None:
    """Collect what is asked of noise; silence about a budget means nothing may be spent."""
    if not any(values_in(permission, term) for term in NOISE):
        return None
    return NoiseTerms(
        epsilon_per_query=_smallest(permission, EPSILON_PER_QUERY),
        epsilon_total=_smallest(permission, EPSILON_TOTAL),
        contribution_bound=min(_numbers(permission, CONTRIBUTION_BOUND), default=None),
    )


def _smallest(permission: Permission, left_operand: str) -> Decimal:
    return min(map(Decimal, values_in(permission, left_operand)), default=Decimal(0))


def _common(permission: Permission, left_operand: str) -> tuple[str, ...] | None:
    """Intersect the lists that a permission states; None where it states none."""
    lists = [part.right_operand for part in limits_of(permission) if part.left_operand == left_operand]
    if not lists:
        return None
    return tuple(value for value in dict.fromkeys(lists[0]) if all(value in other for other in lists))


def _columns(permission: Permission) -> tuple[str, ...] | None:
    return _common(permission, ALLOWED_COLUMN)


def _named(permission: Permission, left_operand: str) -> tuple[str, ...]:
    return tuple(sorted(values_in(permission, left_operand)))


def _masks(permission: Permission) -> tuple[Mask, ...]:
    """Collect all masks. Two of one column are applied one after the other, which hides more than either."""
    return tuple(parse_mask(value) for value in sorted(values_in(permission, COLUMN_MASK)))


def _dominance(permission: Permission) -> tuple[DominanceRule, ...]:
    return tuple(_dominance_rule(value) for value in sorted(values_in(permission, MAX_CELL_DOMINANCE)))


def _dominance_rule(value: str) -> DominanceRule:
    found = DOMINANCE_FORM.pattern.fullmatch(value)
    if found is None:
        raise ValueError(f"{value!r} is no dominance rule; a policy that is read holds none such.")
    return DominanceRule(int(found["n"]), int(found["k"]))


LIMITS_IN_WORDS: Final = frozenset(
    {
        *(ALLOWED_COLUMN, DENIED_COLUMN, COLUMN_MASK, ROW_FILTER, CONSENT, GROUP_UNIT, MIN_GROUP_SIZE),
        *(MIN_GROUP_ROWS, MAX_RESULT_ROWS, MAX_CELL_DOMINANCE, P_PERCENT, ROUNDING_BASE),
        *(EPSILON_PER_QUERY, EPSILON_TOTAL, CONTRIBUTION_BOUND),
    }
)
"""The left operands whose values `limits_in_words` tells, together with the defaults beside them."""


def limits_in_words(restrictions: QueryRestrictions) -> tuple[LanguageMap, ...]:
    """Say which limits every answer under these restrictions keeps, in German and English."""
    return tuple(
        {"de": german, "en": english} for stated, german, english in _in_words(restrictions) if stated
    )


def _in_words(limits: QueryRestrictions) -> Iterator[tuple[object, str, str]]:
    columns, denied = ", ".join(limits.columns or ()), ", ".join(limits.denied)
    yield limits.columns is not None, f"nur die Spalten {columns}", f"only the columns {columns}"
    yield denied, f"ohne die Spalten {denied}", f"without the columns {denied}"
    for mask in limits.masks:
        yield (
            True,
            f"Spalte {mask.column} maskiert: {mask.method}",
            f"column {mask.column} masked: {mask.method}",
        )
    for name in limits.row_filters:
        yield True, f"nur Zeilen des Filters {name}", f"only rows of the filter {name}"
    for name in limits.consents:
        yield (
            True,
            f"nur Zeilen mit Einwilligung im Register {name}",
            f"only rows with consent in the register {name}",
        )
    units, unit = limits.minimum_units, limits.group_unit
    yield (
        unit and not limits.noise,
        f"mindestens {units} verschiedene {unit}",
        f"at least {units} different {unit}",
    )
    rows, noisy = limits.minimum_rows, limits.noise is not None
    yield not noisy, f"mindestens {rows} Zeilen je Gruppe", f"at least {rows} rows per group"
    yield noisy, f"mindestens {rows} verrauschte Zeilen je Gruppe", f"at least {rows} noisy rows per group"
    yield from _noise_in_words(limits)
    for rule in limits.dominance:
        n, k = rule.largest, rule.percent
        yield (
            True,
            f"die {n} größten Beiträge unter {k} % jeder Summe",
            f"the {n} largest contributions below {k} % of every sum",
        )
    p = limits.p_percent
    yield p, f"p-Prozent-Regel mit {p} %", f"p percent rule at {p} %"
    base = limits.rounding_base
    yield base, f"Zahlen gerundet auf Vielfache von {base}", f"counts rounded to multiples of {base}"
    most = limits.maximum_result_rows
    yield True, f"höchstens {most} Gruppen", f"at most {most} groups"


def _noise_in_words(limits: QueryRestrictions) -> Iterator[tuple[object, str, str]]:
    terms = limits.noise
    if terms is not None:
        each, total, unit = terms.epsilon_per_query, terms.epsilon_total, limits.group_unit
        yield (
            True,
            f"Rauschen (differential privacy) je {unit}: Epsilon {each} je neuer Frage, {total} insgesamt",
            f"noise (differential privacy) per {unit}: epsilon {each} per new question, {total} in total",
        )
        bound = terms.contribution_bound
        yield bound, f"höchstens {bound} Zeilen je {unit}", f"at most {bound} rows per {unit}"


def as_data(restrictions: QueryRestrictions | ComputationRestrictions) -> dict[str, JsonValue]:
    """Restrictions as plain JSON values, for receipts; sets in order."""
    return {name: _plain(value) for name, value in asdict(restrictions).items()}


def _plain(value: object) -> JsonValue:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    if isinstance(value, dict):
        return {str(name): _plain(member) for name, member in value.items()}
    return value if value is None or isinstance(value, int) else str(value)
