"""What a peer may send as JSON and JSON-LD to confuse, exhaust or redirect the connector."""

import copy
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from schemas.errors import (
    InvalidMessageError,
    JsonLdError,
    MalformedJsonError,
    SchemaError,
    UnknownContextError,
)
from schemas.jsonld import compact, expand, normalise_message
from schemas.messages import ContractAgreementMessage, ContractRequestMessage, parse_message, to_wire
from schemas.strict_json import loads

DSP = "https://w3id.org/dspace/2025/1/context.jsonld"
REQUEST: dict[str, Any] = {
    "@context": [DSP],
    "@type": "ContractRequestMessage",
    "consumerPid": "urn:uuid:c",
    "offer": {
        "@type": "Offer",
        "@id": "urn:uuid:o",
        "target": "urn:uuid:d",
        "permission": [{"action": "use"}],
    },
    "callbackAddress": "https://consumer.example/dsp",
}


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.perf_counter()
    yield
    assert time.perf_counter() - started < seconds


AMBIGUOUS = {
    "a repeated key": b'{"target": "mine", "target": "yours"}',
    "a repeated key deep inside": b'{"offer": {"permission": [{"action": "use", "action": "read"}]}}',
    "a repeated key in another spelling": b'{"target": 1, "t\\u0061rget": 2}',
    "a repeated empty key": b'{"": 1, "": 2}',
    "NaN": b'{"limit": NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"[-Infinity]",
    "a number that becomes infinite": b"[1e400]",
    "a negative number that becomes infinite": b"[-1e400]",
    "an integer beyond 2^53": b'{"count": 9007199254740993}',
    "2^53 itself": b"9007199254740992",
    "minus 2^53": b"-9007199254740992",
    "an integer of a hundred digits": b"1" + b"0" * 99,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-32": '{"a": 1}'.encode("utf-32-le"),
    "Latin-1": '{"name": "Müller"}'.encode("latin-1"),
    "an overlong slash": b'"\xc0\xaf"',
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "an escaped lone surrogate": b'"\\ud800"',
    "an escaped lone low surrogate": b'["x", "\\udc00"]',
    "a lone surrogate as a key": b'{"\\uD800": 1}',
    "surrogates in the wrong order": b'"\\udc00\\ud800"',
    "two values": b"{} {}",
    "a comment": b"{} // comment",
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "a raw line break in a string": b'"a\nb"',
    "a zero byte": b'{"a": 1}\x00',
    "a leading zero": b"[01]",
    "a plus sign": b"[+1]",
    "hexadecimal": b"[0x10]",
    "nothing": b"",
    "white space only": b" \n",
    "an unclosed string": b'{"a": "b',
    "an unclosed object": b'{"a": 1',
    "Python's True": b"[True]",
}


@pytest.mark.parametrize("text", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_text_that_two_readers_understand_differently_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        loads(text)


def test_a_byte_order_mark_and_surrogates_are_refused_in_decoded_text_too() -> None:
    for text in ("\ufeff{}", '"\ud800"'):
        with pytest.raises(MalformedJsonError):
            loads(text)


BOMBS = {
    "arrays": "[" * 100_000,
    "closed arrays": "[" * 100_000 + "]" * 100_000,
    "objects": '{"a":' * 100_000,
    "closed objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "arrays and objects": '[{"a":' * 50_000,
    "arrays after a string full of brackets": '["' + "]" * 1000 + '",' + "[" * 100_000,
    "arrays after an escaped quote": '["\\"",' + "[" * 100_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_depth_bomb_is_refused_at_once(text: str) -> None:
    with at_most(1), pytest.raises(MalformedJsonError, match="deeper than 32"):
        loads(text)


SLOW = {
    "an unclosed string of escaped quotes": '["' + '\\"' * 400_000,
    "an unclosed string of escapes between brackets": "[" * 20 + "]" * 20 + '"' + "[\\\\" * 200_000,
    "many unclosed brackets in a string": '"' + "[" * 900_000,
    "an integer of 900000 digits": "9" * 900_000,
    "a fraction of 900000 digits": "0." + "9" * 900_000 + "x",
    "many shallow arrays, one of them open": "[" + "[]," * 300_000,
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW.keys())
def test_a_text_made_to_be_slow_is_refused_in_linear_time(text: str) -> None:
    with at_most(3), pytest.raises(MalformedJsonError):
        loads(text)


def test_a_text_larger_than_allowed_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MalformedJsonError, match="at most 10"):
        loads(b"\xff" * 11, max_bytes=10)


LONG = "x" * 200_000
LONG_ATTACKS: dict[str, Any] = {
    "duplicate key": lambda: loads(json.dumps({LONG: 1})[:-1] + f', "{LONG}": 2}}'),
    "large integer": lambda: loads("7" * 200_000),
    "type": lambda: parse_message({**REQUEST, "@type": LONG}, ContractRequestMessage),
    "operator": lambda: parse_message(
        {
            **REQUEST,
            "offer": {
                **REQUEST["offer"],
                "permission": [
                    {
                        "action": "use",
                        "constraint": [{"leftOperand": "a", "operator": LONG, "rightOperand": "b"}],
                    }
                ],
            },
        },
        ContractRequestMessage,
    ),
    "context": lambda: normalise_message({**REQUEST, "@context": [DSP, "http://" + LONG]}),
}


@pytest.mark.parametrize("attack", LONG_ATTACKS.values(), ids=LONG_ATTACKS.keys())
def test_an_error_does_not_repeat_a_long_value_and_can_be_logged(attack: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        attack()
    text = str(caught.value)
    assert len(text) < 500
    assert text.isprintable()


def test_control_characters_do_not_reach_the_log_through_an_error() -> None:
    for value in ("\x1b[31m\nadmin logged in", "\u202e", "\ud800"):
        with pytest.raises(InvalidMessageError) as caught:
            parse_message({**REQUEST, "@type": value}, ContractRequestMessage)
        assert str(caught.value).isprintable()


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """Listen as an attacker would whose address stands in the document."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def address_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/context.jsonld"


def someone_connected(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


def test_the_trap_notices_a_connection(trap: socket.socket) -> None:
    with socket.create_connection(trap.getsockname()):
        assert someone_connected(trap)


def remote_contexts(url: str) -> dict[str, dict[str, Any]]:
    nested = copy.deepcopy(REQUEST)
    nested["offer"]["@context"] = url
    beside_literal = {"@type": "@json", "@context": url, "@value": {}}
    return {
        "alone": {**REQUEST, "@context": url},
        "in an array": {**REQUEST, "@context": [url]},
        "after the known one": {**REQUEST, "@context": [DSP, url]},
        "before the known one": {**REQUEST, "@context": [url, DSP]},
        "on the offer": nested,
        "in an array inside an array": {**REQUEST, "@context": [DSP, [url]]},
        "imported by an inline context": {**REQUEST, "@context": [DSP, {"@import": url}]},
        "scoped to a term": {**REQUEST, "@context": [DSP, {"x": {"@id": "urn:x", "@context": url}}]},
        "beside a JSON literal": {**REQUEST, "https://w3id.org/allmende/v1#evidence": beside_literal},
        "as a relative reference": {**REQUEST, "@context": [DSP, "//" + url.removeprefix("http://")]},
    }


@pytest.mark.parametrize("place", remote_contexts("").keys())
def test_a_remote_context_is_refused_and_never_fetched(place: str, trap: socket.socket) -> None:
    document = remote_contexts(address_of(trap))[place]
    for read in (normalise_message, expand, lambda message: compact(message, DSP)):
        with pytest.raises(JsonLdError):
            read(document)
    assert not someone_connected(trap)


def test_an_unknown_context_is_named(trap: socket.socket) -> None:
    url = address_of(trap)
    with pytest.raises(UnknownContextError, match=r"never fetched") as caught:
        normalise_message({**REQUEST, "@context": [DSP, url]})
    assert caught.value.url == url
    assert url in str(caught.value)


def test_an_address_in_place_of_a_document_or_a_context_is_not_fetched(trap: socket.socket) -> None:
    url: Any = address_of(trap)
    for attack in (
        lambda: expand(url),
        lambda: normalise_message(url),
        lambda: compact(REQUEST, url),
        lambda: compact(REQUEST, [DSP, url]),
        lambda: compact(url, DSP),
    ):
        with pytest.raises(JsonLdError):
            attack()
    assert not someone_connected(trap)


def test_reading_a_message_fetches_nothing_either(trap: socket.socket) -> None:
    parse_message({**REQUEST, "@context": [DSP, address_of(trap)]}, ContractRequestMessage)
    assert not someone_connected(trap)


INLINE: list[Any] = [
    {"use": "http://www.w3.org/ns/odrl/2/transfer"},
    {"@vocab": "https://evil.example/"},
    {"@base": "https://evil.example/"},
    {"permission": "http://www.w3.org/ns/odrl/2/prohibition"},
    {},
    None,
    False,
    7,
]


@pytest.mark.parametrize("context", INLINE)
def test_a_message_cannot_give_words_another_meaning(context: Any) -> None:
    for document in (
        {**REQUEST, "@context": [DSP, context]},
        {**REQUEST, "offer": {**REQUEST["offer"], "@context": context}},
    ):
        with pytest.raises(JsonLdError, match="defines JSON-LD terms itself"):
            normalise_message(document)


def nested(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {"@id": "urn:leaf"}
    for _ in range(levels):
        document = {"https://w3id.org/dspace/2025/1/x": document}
    return document


def test_a_deep_document_is_not_expanded() -> None:
    with at_most(1), pytest.raises(JsonLdError, match="deeper than 32"):
        normalise_message({**REQUEST, "@context": DSP, "x": nested(50_000)})


def test_a_document_of_too_many_values_is_not_expanded() -> None:
    with at_most(1), pytest.raises(JsonLdError, match="more than 20000 values"):
        normalise_message({**REQUEST, "@context": DSP, "x": ["y"] * 50_000})


def test_the_largest_document_that_is_expanded_does_not_stop_the_connector() -> None:
    rule = {"odrl:action": {"@id": "odrl:use"}}
    offer = {**REQUEST["offer"], "permission": [rule] * 6_000}
    with at_most(10):
        message = normalise_message({**REQUEST, "offer": offer})
    assert message["offer"]["permission"] == [{"action": "use"}] * 6_000  # type: ignore[index, call-overload]


ODD_JSON_LD = {
    "several things": {"@context": [DSP], "@graph": [REQUEST, REQUEST]},
    "a reverse property": {**REQUEST, "@reverse": {"offer": "x"}},
    "an unknown keyword type": {**REQUEST, "@type": "@id"},
    "an identifier that is a number": {**REQUEST, "@context": DSP, "@id": 7},
    "a value object with two values": {**REQUEST, "odrl:x": {"@value": 1, "@id": "x"}},
    "a list of lists of nothing": {**REQUEST, "@context": DSP, "@type": [[]]},
    "a type that no context defines": {"@context": [DSP], "@type": "Nonsense", "a": 1},
    "a container of the wrong kind": {**REQUEST, "@context": DSP, "@index": {"x": 1}},
    "a nest that is a string": {**REQUEST, "@nest": "x"},
    "an included string": {**REQUEST, "@included": "x"},
}


@pytest.mark.parametrize("document", ODD_JSON_LD.values(), ids=ODD_JSON_LD.keys())
def test_odd_json_ld_ends_in_our_own_error_or_in_a_message_that_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        parse_message(normalise_message(document), ContractAgreementMessage)


def constraint_of(levels: int) -> dict[str, Any]:
    constraint: dict[str, Any] = {"leftOperand": "count", "operator": "eq", "rightOperand": "1"}
    for _ in range(levels):
        constraint = {"and": [constraint]}
    return constraint


def request_with(rule: dict[str, Any]) -> dict[str, Any]:
    return {**REQUEST, "offer": {**REQUEST["offer"], "permission": [rule]}}


def test_a_constraint_that_is_nested_too_deeply_is_refused_before_recursion_overflows() -> None:
    parse_message(request_with({"action": "use", "constraint": [constraint_of(15)]}), ContractRequestMessage)
    for levels in (16, 50_000):
        with pytest.raises(InvalidMessageError, match="nested deeper than 16"):
            parse_message(
                request_with({"action": "use", "constraint": [constraint_of(levels)]}), ContractRequestMessage
            )


def test_names_of_our_program_are_mere_data_in_a_message() -> None:
    names = [
        "consumer_pid",
        "id",
        "model_config",
        "model_extra",
        "__class__",
        "__dict__",
        "has_context",
        "copy",
    ]
    document = {**REQUEST, **dict.fromkeys(names, "evil")}
    message = parse_message(document, ContractRequestMessage)
    assert message.consumer_pid == "urn:uuid:c"
    assert message.id is None
    assert message.has_context
    assert type(message) is ContractRequestMessage
    assert to_wire(message) == document


def test_python_names_do_not_replace_the_names_of_the_protocol() -> None:
    document = {key: value for key, value in REQUEST.items() if key != "consumerPid"}
    with pytest.raises(InvalidMessageError, match=r"\$\.consumerPid is required"):
        parse_message({**document, "consumer_pid": "urn:uuid:c"}, ContractRequestMessage)


@pytest.mark.parametrize(
    "evidence", ["x", {}, [], {"@value": {}}, {"@type": "@json", "@value": "x"}, {"proof": 1}, 1]
)
def test_evidence_that_is_no_json_literal_is_refused(evidence: Any) -> None:
    with pytest.raises(InvalidMessageError, match="must be a JSON literal"):
        parse_message({**REQUEST, "https://w3id.org/allmende/v1#evidence": evidence}, ContractRequestMessage)


@pytest.mark.parametrize("document", [None, [], "x", 1, True, [REQUEST]])
def test_a_body_that_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(InvalidMessageError, match=r"\$ must be an object"):
        parse_message(document, ContractRequestMessage)
