"""Look over a statement before it is parsed, so that parsing it is harmless.

A parser recurses where a text nests. Only words that a governed query can hold
reach it, in a length and depth that it handles with a small part of the stack.
"""

from collections.abc import Collection, Sequence
from typing import Final

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from connector.queries.errors import refusal

MAXIMUM_BYTES: Final = 8192
MAXIMUM_NESTING: Final = 12
"""Open parentheses at once. The parser takes up to 33 stack frames for each: 12 of
them stay under half of Python's default limit of 1,000, wherever the caller stands."""
MAXIMUM_OPERATORS: Final = 64
"""AND, OR, NOT, minus signs and casts together."""
MAXIMUM_TOKENS: Final = 2000

_DIALECT: Final = sqlglot.Dialect.get_or_raise("duckdb")
_OPERATORS: Final = frozenset(
    {TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.DASH, TokenType.DCOLON},
)
_PREFIXES: Final = frozenset({TokenType.NOT, TokenType.DASH})
_ALLOWED: Final = _OPERATORS | {
    TokenType.SELECT,
    TokenType.FROM,
    TokenType.WHERE,
    TokenType.GROUP_BY,
    TokenType.ORDER_BY,
    TokenType.LIMIT,
    TokenType.ALIAS,
    TokenType.IN,
    TokenType.BETWEEN,
    TokenType.ALL,
    TokenType.ASC,
    TokenType.DESC,
    TokenType.FIRST,
    TokenType.EQ,
    TokenType.NEQ,
    TokenType.LT,
    TokenType.LTE,
    TokenType.GT,
    TokenType.GTE,
    TokenType.L_PAREN,
    TokenType.R_PAREN,
    TokenType.COMMA,
    TokenType.DOT,
    TokenType.STAR,
    TokenType.STRING,
    TokenType.NUMBER,
    TokenType.VAR,
    TokenType.IDENTIFIER,
    TokenType.TRUE,
    TokenType.FALSE,
    TokenType.DATE,
    TokenType.TIMESTAMP,
    TokenType.TIMESTAMPNTZ,
    TokenType.TIMESTAMPTZ,
}
_CODES: Final = {
    TokenType.UNION: "set-operation",
    TokenType.EXCEPT: "set-operation",
    TokenType.INTERSECT: "set-operation",
    TokenType.JOIN: "join",
    TokenType.CROSS: "join",
    TokenType.NATURAL: "join",
    TokenType.LATERAL: "join",
    TokenType.ASOF: "join",
    TokenType.POSITIONAL: "join",
    TokenType.WITH: "common-table-expression",
    TokenType.OVER: "window",
    TokenType.WINDOW: "window",
    TokenType.QUALIFY: "window",
    TokenType.PARTITION_BY: "window",
    TokenType.HAVING: "having",
    TokenType.DISTINCT: "distinct",
    TokenType.PARAMETER: "parameter",
    TokenType.PLACEHOLDER: "parameter",
    TokenType.COLON: "parameter",
    TokenType.TABLE_SAMPLE: "sample",
    TokenType.OFFSET: "offset",
    TokenType.SEMICOLON: "one-statement",
    TokenType.EXISTS: "subquery",
}


def scan(sql: str, names: Collection[str]) -> tuple[Token, ...]:
    """Check the words of a statement and give them back, without a final semicolon.

    Args:
        sql: The client's text.
        names: Lower-case names of the table and its columns, which may be words
            that SQL uses otherwise.

    Raises:
        QueryRefusedError: The text is too long, too deep or too complex, or it
            holds a word that no governed query needs.
    """
    tokens = _tokenise(sql)
    if tokens[0].token_type is not TokenType.SELECT:
        raise refusal("not-a-select")
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type not in _ALLOWED and token.text.lower() not in names:
            called = following is not None and following.token_type is TokenType.L_PAREN
            raise refusal(_CODES.get(token.token_type, "function-not-allowed" if called else "syntax"))
    if sum(token.token_type is TokenType.SELECT for token in tokens) > 1:
        raise refusal("subquery")
    _check_complexity(tokens)
    _check_depth(tokens)
    return tokens


def _tokenise(sql: str) -> tuple[Token, ...]:
    if len(sql) > MAXIMUM_BYTES or len(sql.encode("utf-8", "surrogatepass")) > MAXIMUM_BYTES:
        raise refusal("too-long")
    try:
        tokens = list(_DIALECT.tokenize(sql))
    except SqlglotError:
        raise refusal("syntax") from None
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise refusal("empty")
    return tuple(tokens)


def _check_complexity(tokens: Sequence[Token]) -> None:
    operators = sum(token.token_type in _OPERATORS for token in tokens)
    if operators > MAXIMUM_OPERATORS or len(tokens) > MAXIMUM_TOKENS:
        raise refusal("too-complex")


def _check_depth(tokens: Sequence[Token]) -> None:
    depth = 0
    previous: TokenType | None = None
    for token in tokens:
        kind = token.token_type
        if kind in _PREFIXES and previous in _PREFIXES:
            # A run of prefixes nests without a parenthesis.
            raise refusal("too-deep")
        depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
        if depth > MAXIMUM_NESTING:
            raise refusal("too-deep")
        if depth < 0:
            raise refusal("syntax")
        previous = kind
