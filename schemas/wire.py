"""How values become DSP JSON and back: the rules that all messages share.

A document from the wire is read by its camelCase names, may hold properties
that nobody here knows, and may give a single value where the protocol has an
array. A message that we build has snake_case names and nothing unknown, and is
written in the one form that the published JSON Schemas accept.

Source:
    DSP 2025-1 and its JSON Schemas.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from schemas.errors import InvalidMessageError
from schemas.strict_json import JsonObject
from schemas.vocabulary import DSPACE_CONTEXT

_SHOWN: Final = 60
_RULES: Final = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be an array",
    "too_short": "must have at least one item",
}
_FROM_THE_WIRE: Final = "from_the_wire"


def _as_array(value: object) -> object:
    """Accept a single value where the protocol has an array, as JSON-LD allows."""
    return value if value is None or isinstance(value, (list, tuple)) else [value]


def one_of(*allowed: str) -> AfterValidator:
    """Restrict a string to a closed list of words."""

    def check(value: str) -> str:
        if value not in allowed:
            raise broken_rule(f"must be one of {', '.join(allowed)}, not {shown(value)}")
        return str(value)

    return AfterValidator(check)


def broken_rule(rule: str, path: str = "") -> PydanticCustomError:
    """Return the error for a rule that a value breaks.

    Args:
        rule: The end of a sentence that starts with the path.
        path: Where inside the value, such as `.permission[0]`.
    """
    return PydanticCustomError("rule", "{path} {rule}", {"rule": rule, "path": path})


def shown(value: object) -> str:
    """Quote a received value in an error without repeating all of it."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


Text = Annotated[str, StringConstraints(min_length=1)]
"""A string that is not empty, such as an identifier."""

SINGLE_OR_ARRAY: Final = BeforeValidator(_as_array)
"""Marks a multi-valued property, which JSON-LD may write as a single value."""


class WireModel(BaseModel):
    """A JSON object of the protocol; snake_case here, camelCase on the wire."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        hide_input_in_errors=True,
        # A validator is built when a message is first read: most processes read few kinds.
        defer_build=True,
    )
    has_context: ClassVar[bool] = False

    @model_serializer(mode="wrap")
    def _with_type_and_unknown(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**self._type(), **write(self), **(self.model_extra or {})}

    @classmethod
    def _type(cls) -> dict[str, str]:
        return {}


class TypedObject(WireModel):
    """A JSON object whose `@type` is its class's name, or else its `wire_type`."""

    type_is_required: ClassVar[bool] = True
    wire_type: ClassVar[str | None] = None

    @classmethod
    def _type(cls) -> dict[str, str]:
        return {"@type": cls.wire_type or cls.__name__}

    @model_validator(mode="before")
    @classmethod
    def _check_type(cls, data: object, info: ValidationInfo) -> object:
        if not isinstance(data, Mapping) or not is_from_the_wire(info):
            return data
        stated = data.get("@type")
        if stated is None and cls.type_is_required:
            raise broken_rule("is required", ".@type")
        expected = cls._type()["@type"]
        if stated not in (None, expected):
            raise broken_rule(f"must be {expected!r}, not {shown(stated)}", ".@type")
        return {key: value for key, value in data.items() if key not in {"@type", "@context"}}


M = TypeVar("M", bound=WireModel)


def is_from_the_wire(info: ValidationInfo) -> bool:
    """Say whether a value was received, not built by this software."""
    return isinstance(info.context, Mapping) and bool(info.context.get(_FROM_THE_WIRE))


def parse_message(document: JsonObject, expected: type[M]) -> M:
    """Read a received JSON document as the message that is expected there.

    Unknown properties are kept in `model_extra`; single values are read as
    arrays of one item; `null` is read as absent, as JSON-LD does.

    Args:
        document: The document, in compact form with un-prefixed terms (see
            `schemas.jsonld.normalise_message`).
        expected: The class of the message.

    Raises:
        InvalidMessageError: The document breaks a rule of the protocol; the
            first one is named.

    Source:
        DSP 2025-1, sections 5 to 8, and its JSON Schemas.
    """
    if not isinstance(document, dict):
        raise InvalidMessageError("$", "must be an object")
    if expected.has_context:
        _check_context(document)
    try:
        return expected.model_validate(
            document, extra="allow", by_alias=True, by_name=False, context={_FROM_THE_WIRE: True}
        )
    except ValidationError as error:
        raise _as_invalid_message(error.errors(include_url=False)[0]) from error


def to_wire(message: WireModel) -> JsonObject:
    """Write a message as compact DSP JSON, as the published JSON Schemas demand it.

    Absent properties are left out; unknown ones that were received are kept.

    Returns:
        A new JSON object; what the caller changes in it does not change the message.

    Source:
        DSP 2025-1, section 4.
    """
    body: JsonObject = message.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"@context": [DSPACE_CONTEXT], **body} if message.has_context else body


def _check_context(document: JsonObject) -> None:
    stated = document.get("@context")
    if stated is None:
        raise InvalidMessageError("$.@context", "is required")
    contexts = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(context, str) for context in contexts):
        raise InvalidMessageError("$.@context", "must be an array of strings, without inline contexts")
    if DSPACE_CONTEXT not in contexts:
        raise InvalidMessageError("$.@context", f"must contain {DSPACE_CONTEXT!r}")


def _as_invalid_message(error: ErrorDetails) -> InvalidMessageError:
    context = error.get("ctx", {})
    inner = str(context.get("path", ""))
    rule = str(context.get("rule") or _RULES.get(error["type"]) or f"is invalid: {error['msg']}")
    return InvalidMessageError(_json_path(error["loc"]) + inner, rule)


def _json_path(location: Sequence[str | int]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location if not _is_tag(step))
    return "$" + "".join(steps)


def _is_tag(step: str | int) -> bool:
    """Say whether a step names an alternative of a union, not a place in the document."""
    return isinstance(step, str) and step.startswith("(")
