"""The gate: a client's SQL becomes a plan, or is refused with the reason.

The gate lists what is allowed, never what is forbidden: every part of the syntax
tree has to be one that this module understands, and a part that carries more than
is understood is refused. The client's text and its syntax tree end here.

What a governed query can say::

    SELECT  dimensions, hour | dayofweek | month | year | date_trunc('day' | 'month') of times,
            count(*), sum | avg | var_samp | stddev_samp | min | max of measures
    FROM    the one federated table
    WHERE   comparisons, IN and BETWEEN of dimensions and times with fixed values; AND, OR, NOT
    GROUP BY … | ALL   ORDER BY output columns   LIMIT n

Times are read and grouped in UTC. `max` and `min` do not give the extreme value,
which would be one row's: they give the highest (lowest) step that at least the
minimum number of different units reached, see `connector.queries.decompose`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from catalog.model import Column, ColumnRole
from connector.queries.errors import QueryRefusedError, refusal
from connector.queries.literals import literal_value
from connector.queries.plan import (
    Aggregate,
    AggregateKind,
    Comparison,
    ComparisonOperator,
    Condition,
    Connective,
    Junction,
    KeyExpression,
    KeyKind,
    KeyOutput,
    Membership,
    Negation,
    QueryPlan,
    Sorting,
)
from connector.queries.scanning import scan

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_RESERVED_NAMES: Final = frozenset({"sites", "status"})
_MAXIMUM_LIMIT: Final = 1_000_000
_MAXIMUM_OUTPUTS: Final = 32

_TIME_PARTS: Final[Mapping[type[exp.Expr], KeyKind]] = {
    exp.Hour: KeyKind.HOUR,
    exp.DayOfWeek: KeyKind.DAY_OF_WEEK,
    exp.Month: KeyKind.MONTH,
    exp.Year: KeyKind.YEAR,
}
_TRUNCATIONS: Final = {"DAY": KeyKind.DAY_START, "MONTH": KeyKind.MONTH_START}
_AGGREGATES: Final[Mapping[type[exp.Expr], AggregateKind]] = {
    exp.Sum: AggregateKind.SUM,
    exp.Avg: AggregateKind.AVG,
    exp.Variance: AggregateKind.VAR_SAMP,
    exp.Stddev: AggregateKind.STDDEV_SAMP,
    exp.StddevSamp: AggregateKind.STDDEV_SAMP,
    exp.Max: AggregateKind.MAX,
    exp.Min: AggregateKind.MIN,
}
_EXTREMES: Final = frozenset({AggregateKind.MAX, AggregateKind.MIN})
_COMPARISONS: Final[Mapping[type[exp.Expr], ComparisonOperator]] = {
    exp.EQ: ComparisonOperator.EQ,
    exp.NEQ: ComparisonOperator.NEQ,
    exp.LT: ComparisonOperator.LT,
    exp.LTE: ComparisonOperator.LTEQ,
    exp.GT: ComparisonOperator.GT,
    exp.GTE: ComparisonOperator.GTEQ,
}
_MIRRORED: Final = {
    ComparisonOperator.EQ: ComparisonOperator.EQ,
    ComparisonOperator.NEQ: ComparisonOperator.NEQ,
    ComparisonOperator.LT: ComparisonOperator.GT,
    ComparisonOperator.LTEQ: ComparisonOperator.GTEQ,
    ComparisonOperator.GT: ComparisonOperator.LT,
    ComparisonOperator.GTEQ: ComparisonOperator.LTEQ,
}
_JUNCTIONS: Final[Mapping[type[exp.Expr], Connective]] = {exp.And: Connective.AND, exp.Or: Connective.OR}
_LITERALS: Final = (exp.Literal, exp.Neg, exp.Boolean, exp.Cast)


def plan_query(sql: str, *, table: str, columns: Sequence[Column]) -> QueryPlan:
    """Understand a client's statement, or refuse it with the reason.

    Args:
        sql: The client's text: one SELECT of at most 8 KB. It is never executed.
        table: The only table that exists for the statement.
        columns: The only columns that exist for it: those that the agreement
            permits, with their roles. A column that is listed twice has both roles.

    Returns:
        The query as frozen values, free of the client's text but for the names
        of its outputs (letters, digits, underscores) and its fixed values.

    Raises:
        QueryRefusedError: With a code and a sentence per language; neither
            repeats the statement.

    Source:
        The design's part E.3: an allow-list of node types, functions and columns.
    """
    names = {table.lower(), *(column.name.lower() for column in columns)}
    scan(sql, names)
    select = _parse(sql)
    schema = _Schema.of(table, columns, _table_alias(select, table))
    items = _items(select)
    outputs = _Outputs.of(items, schema)
    keys = _group_keys(select.args.get("group"), outputs, schema)
    return QueryPlan(
        table=table,
        keys=keys,
        outputs=outputs.resolved(keys),
        condition=_where(select.args.get("where"), schema),
        order=_order(select.args.get("order"), outputs, schema),
        limit=_limit(select.args.get("limit")),
    )


def _parse(sql: str) -> exp.Select:
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect="duckdb") if tree is not None]
    except SqlglotError:
        raise refusal("syntax") from None
    except RecursionError:
        # The scan leaves no way here; should a new parser version open one, it ends here.
        raise refusal("too-deep") from None
    if len(trees) != 1:
        raise refusal("one-statement")
    tree = trees[0]
    if type(tree) is not exp.Select:
        raise refusal("not-a-select")
    if tree.args.get("joins"):
        raise refusal("join")
    _only(tree, "expressions", "from_", "where", "group", "order", "limit")
    return tree


def _only(node: exp.Expr, *parts: str, code: str = "syntax") -> None:
    """Refuse a node that carries more than the named parts."""
    if any(value for name, value in node.args.items() if name not in parts):
        raise refusal(code)


@dataclass(frozen=True, slots=True)
class _Schema:
    """What the statement may name."""

    columns: Mapping[str, Column]
    qualifiers: frozenset[str]
    roles: frozenset[tuple[str, ColumnRole]]

    @classmethod
    def of(cls, table: str, columns: Sequence[Column], alias: str | None) -> "_Schema":
        return cls(
            {column.name.lower(): column for column in columns},
            frozenset({(alias or table).lower()}),
            frozenset((column.name, column.role) for column in columns),
        )

    def is_for(self, column: Column, *roles: ColumnRole) -> bool:
        """Tell whether a column has one of some roles."""
        return any((column.name, role) in self.roles for role in roles)

    def column(self, node: object) -> Column:
        if type(node) is not exp.Column or type(node.this) is not exp.Identifier:
            raise refusal("syntax")
        _only(node, "this", "table")
        qualifier = node.args.get("table")
        if qualifier is not None and str(qualifier.name).lower() not in self.qualifiers:
            raise refusal("unknown-table")
        try:
            return self.columns[str(node.this.name).lower()]
        except KeyError:
            raise refusal("unknown-column") from None

    def key(self, node: object) -> KeyExpression:
        """Read what may be grouped by: a dimension, or a part of a time."""
        expression = self.operand(node)
        column = self.columns[expression.column.lower()]
        if expression.kind is KeyKind.VALUE and not self.is_for(column, ColumnRole.DIMENSION):
            raise refusal("column-role")
        return expression

    def operand(self, node: object) -> KeyExpression:
        """Read what may be filtered by: as a key, or a point in time."""
        node = _unwrapped(node)
        if isinstance(node, exp.Column):
            column = self.column(node)
            if not self.is_for(column, ColumnRole.DIMENSION, ColumnRole.TIME):
                raise refusal("column-role")
            return KeyExpression(KeyKind.VALUE, column.name)
        kind = _time_part(node)
        if kind is None or not isinstance(node, exp.Expr):
            raise refusal("function-not-allowed" if isinstance(node, exp.Func) else "syntax")
        column = self.column(node.this)
        if not self.is_for(column, ColumnRole.TIME):
            raise refusal("column-role")
        return KeyExpression(kind, column.name)


def _time_part(node: object) -> KeyKind | None:
    if type(node) in _TIME_PARTS and isinstance(node, exp.Expr):
        _only(node, "this")
        return _TIME_PARTS[type(node)]
    if isinstance(node, exp.TimestampTrunc | exp.DateTrunc):
        # Literal('DAY') or Var(DAY), as the parser likes; its text is looked up, never used.
        return _TRUNCATIONS.get(str(node.args["unit"].name).upper())
    return None


def _unwrapped(node: object) -> object:
    while type(node) is exp.Paren:
        node = node.this
    return node


def _table_alias(select: exp.Select, table: str) -> str | None:
    source = select.args.get("from_")
    if source is None:
        raise refusal("no-table" if select.expressions else "no-output")
    if type(source.this) is not exp.Table:
        raise refusal("unknown-table")
    node = source.this
    _only(source, "this")
    if type(node.this) is not exp.Identifier or str(node.this.name).lower() != table.lower():
        raise refusal("unknown-table")
    _only(node, "this", "alias", code="unknown-table")
    alias = node.args.get("alias")
    if alias is None:
        return None
    # A list of column names would rename the columns by position and so undo their roles.
    _only(alias, "this", code="column-alias")
    return str(alias.this.name)


def _items(select: exp.Select) -> tuple[tuple[str | None, exp.Expr], ...]:
    """Give the alias, where there is one, and the expression of every output."""
    items = tuple(_item(node) for node in select.expressions)
    if not items:
        raise refusal("no-output")
    if len(items) > _MAXIMUM_OUTPUTS:
        raise refusal("too-complex")
    if not any(_is_aggregate(node) for _, node in items) or any(_is_star(node) for _, node in items):
        _refuse_other_expressions(node for _, node in items)
        raise refusal("row-level")
    return items


def _item(node: exp.Expr) -> tuple[str | None, exp.Expr]:
    alias: str | None = None
    if type(node) is exp.Alias:
        _only(node, "this", "alias")
        alias = str(node.alias)
        if not _NAME.fullmatch(alias):
            raise refusal("name")
        node = node.this
    expression = _unwrapped(node)
    if not isinstance(expression, exp.Expr):
        raise refusal("syntax")
    return alias, expression


def _is_aggregate(node: exp.Expr) -> bool:
    return type(node) is exp.Count or type(node) in _AGGREGATES


def _is_star(node: exp.Expr) -> bool:
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def _refuse_other_expressions(nodes: Iterable[exp.Expr]) -> None:
    """Give the nearer reason where a statement's only fault is not that it reads rows."""
    for node in nodes:
        known = _is_aggregate(node) or isinstance(node, exp.Column | exp.Star | exp.Literal)
        if not known and _time_part(node) is None:
            raise refusal("function-not-allowed")


@dataclass(frozen=True, slots=True)
class _Outputs:
    """The outputs before they know which of them are grouped by."""

    names: tuple[str, ...]
    contents: tuple[KeyExpression | Aggregate, ...]

    @classmethod
    def of(cls, items: Sequence[tuple[str | None, exp.Expr]], schema: _Schema) -> "_Outputs":
        contents = tuple(_content(node, schema) for _, node in items)
        names = tuple(
            alias or _default_name(content) for (alias, _), content in zip(items, contents, strict=True)
        )
        folded = [name.lower() for name in names]
        if len(set(folded)) != len(folded) or _RESERVED_NAMES & set(folded):
            raise refusal("name")
        return cls(names, contents)

    def named(self, name: str) -> int | None:
        folded = [known.lower() for known in self.names]
        return folded.index(name.lower()) if name.lower() in folded else None

    def at(self, node: exp.Literal) -> int | None:
        """Give the index of an output that is named by its number, counted from 1."""
        text = str(node.this)
        if node.is_string or not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII):
            return None
        index = int(text) - 1
        return index if 0 <= index < len(self.contents) else None

    def resolved(self, keys: Sequence[KeyExpression]) -> tuple[KeyOutput | Aggregate, ...]:
        return tuple(
            _resolved(name, content, keys) for name, content in zip(self.names, self.contents, strict=True)
        )


def _resolved(
    name: str, content: KeyExpression | Aggregate, keys: Sequence[KeyExpression]
) -> KeyOutput | Aggregate:
    if isinstance(content, Aggregate):
        return Aggregate(name, content.kind, content.column, content.step)
    if content not in keys:
        raise refusal("not-grouped")
    return KeyOutput(name, keys.index(content))


def _content(node: exp.Expr, schema: _Schema) -> KeyExpression | Aggregate:
    if type(node) is exp.Count:
        _only(node, "this", "big_int", code="function-not-allowed")
        if type(node.this) is not exp.Star:
            raise refusal("function-not-allowed")
        _only(node.this, code="function-not-allowed")
        return Aggregate("", AggregateKind.COUNT)
    if type(node) in _AGGREGATES:
        return _aggregate(node, schema)
    if isinstance(node, exp.Column):
        column = schema.column(node)
        if not schema.is_for(column, ColumnRole.DIMENSION):
            raise refusal("row-level")
    return schema.key(node)


def _aggregate(node: exp.Expr, schema: _Schema) -> Aggregate:
    _only(node, "this", code="function-not-allowed")
    if type(node.this) is not exp.Column:
        raise refusal("function-not-allowed")
    column = schema.column(node.this)
    if not schema.is_for(column, ColumnRole.MEASURE):
        raise refusal("aggregate-column")
    kind = _AGGREGATES[type(node)]
    if kind not in _EXTREMES:
        return Aggregate("", kind, column.name)
    if column.step is None or not column.step > 0:
        raise refusal("extreme-not-released")
    return Aggregate("", kind, column.name, column.step)


def _default_name(content: KeyExpression | Aggregate) -> str:
    if isinstance(content, Aggregate):
        return f"{content.kind.value}({content.column or '*'})"
    if content.kind is KeyKind.VALUE:
        return content.column
    function, _, unit = content.kind.value.partition(" ")
    return f"{function}('{unit}', {content.column})" if unit else f"{function}({content.column})"


def _group_keys(group: exp.Group | None, outputs: _Outputs, schema: _Schema) -> tuple[KeyExpression, ...]:
    if group is None:
        return ()
    _only(group, "expressions", "all", code="group-by")
    if group.args.get("all"):
        _only(group, "all", code="group-by")
        found = [content for content in outputs.contents if isinstance(content, KeyExpression)]
    else:
        found = [_group_key(node, outputs, schema) for node in group.expressions]
    return tuple(dict.fromkeys(found))


def _group_key(node: exp.Expr, outputs: _Outputs, schema: _Schema) -> KeyExpression:
    index = _output_index(node, outputs)
    if index is None:
        if isinstance(node, exp.Literal):
            raise refusal("group-by")
        return schema.key(node)
    content = outputs.contents[index]
    if isinstance(content, Aggregate):
        raise refusal("group-by")
    if isinstance(node, exp.Column) and str(node.name).lower() in schema.columns:
        # SQL dialects differ on whether the column or the output is meant.
        column = schema.columns[str(node.name).lower()]
        if content != KeyExpression(KeyKind.VALUE, column.name):
            raise refusal("ambiguous-name")
    return content


def _output_index(node: object, outputs: _Outputs) -> int | None:
    if type(node) is exp.Literal:
        return outputs.at(node)
    if type(node) is exp.Column and node.args.get("table") is None and type(node.this) is exp.Identifier:
        _only(node, "this")
        return outputs.named(str(node.this.name))
    return None


def _order(order: exp.Order | None, outputs: _Outputs, schema: _Schema) -> tuple[Sorting, ...]:
    if order is None:
        return ()
    _only(order, "expressions", code="order-by")
    return tuple(_sorting(node, outputs, schema) for node in order.expressions)


def _sorting(node: exp.Expr, outputs: _Outputs, schema: _Schema) -> Sorting:
    if type(node) is not exp.Ordered:
        raise refusal("order-by")
    _only(node, "this", "desc", "nulls_first", code="order-by")
    target = _unwrapped(node.this)
    index = _output_index(target, outputs)
    if index is None:
        if not isinstance(target, exp.Expr) or isinstance(target, exp.Literal | exp.Var):
            raise refusal("order-by")
        index = _output_like(target, outputs, schema)
    return Sorting(index, bool(node.args.get("desc")), bool(node.args.get("nulls_first")))


def _output_like(node: exp.Expr, outputs: _Outputs, schema: _Schema) -> int:
    try:
        return outputs.contents.index(_content(node, schema))
    except (QueryRefusedError, ValueError):
        raise refusal("order-by") from None


def _limit(limit: exp.Expr | None) -> int | None:
    if limit is None:
        return None
    if type(limit) is not exp.Limit:
        raise refusal("limit")
    _only(limit, "expression", code="limit")
    number = limit.args.get("expression")
    if type(number) is not exp.Literal or not re.fullmatch(r"[0-9]{1,7}", str(number.this), re.ASCII):
        raise refusal("limit")
    if number.is_string or int(number.this) > _MAXIMUM_LIMIT:
        raise refusal("limit")
    return int(number.this)


def _where(where: exp.Where | None, schema: _Schema) -> Condition | None:
    if where is None:
        return None
    _only(where, "this", code="filter")
    return _condition(where.this, schema)


def _condition(node: object, schema: _Schema) -> Condition:
    """Read a condition. The scan bounds the recursion: 64 operators and 12 parentheses."""
    node = _unwrapped(node)
    if type(node) in _JUNCTIONS and isinstance(node, exp.Connector):
        connective = _JUNCTIONS[type(node)]
        return Junction(connective, tuple(_condition(part, schema) for part in _flattened(node)))
    if type(node) is exp.Not:
        _only(node, "this", code="filter")
        return Negation(_condition(node.this, schema))
    if type(node) is exp.In:
        return _membership(node, schema)
    if type(node) is exp.Between:
        return _range(node, schema)
    if type(node) in _COMPARISONS and isinstance(node, exp.Binary):
        return _comparison(node, schema)
    raise refusal("filter")


def _flattened(node: exp.Expr) -> Iterator[exp.Expr]:
    """Give the operands of a chain `a AND b AND …` in their order."""
    pending: list[exp.Expr] = [node]
    while pending:
        part = pending.pop()
        if type(part) is type(node):
            _only(part, "this", "expression", code="filter")
            pending += [part.args["expression"], part.args["this"]]
        else:
            yield part


def _comparison(node: exp.Binary, schema: _Schema) -> Comparison:
    _only(node, "this", "expression", code="filter")
    operator = _COMPARISONS[type(node)]
    left, right = _unwrapped(node.args["this"]), _unwrapped(node.args["expression"])
    if isinstance(left, _LITERALS):
        left, right, operator = right, left, _MIRRORED[operator]
    operand = schema.operand(left)
    return Comparison(operand, operator, literal_value(right, operand, schema.columns))


def _membership(node: exp.In, schema: _Schema) -> Membership:
    if node.args.get("query") is not None:
        raise refusal("subquery")
    _only(node, "this", "expressions", code="filter")
    operand = schema.operand(node.this)
    values = tuple(literal_value(value, operand, schema.columns) for value in node.expressions)
    if not values:
        raise refusal("filter")
    return Membership(operand, values)


def _range(node: exp.Between, schema: _Schema) -> Junction:
    _only(node, "this", "low", "high", code="filter")
    operand = schema.operand(node.this)
    low = literal_value(node.args["low"], operand, schema.columns)
    high = literal_value(node.args["high"], operand, schema.columns)
    return Junction(
        Connective.AND,
        (
            Comparison(operand, ComparisonOperator.GTEQ, low),
            Comparison(operand, ComparisonOperator.LTEQ, high),
        ),
    )
