"""What a computation may release: declared outputs of a known kind, read and written anew.

Nothing passes through as it came. An output is parsed by its kind's rules,
reduced to what the kind is for, and encoded again, so that a byte that has no
meaning to us does not leave. What is not declared is refused by name.

Limitation: numbers and their names carry information. A metric of six digits,
a name of forty letters or a model's parameters can hide raw values; the caps
bound how many, and the agreement's count of computations bounds how often.
Only a person who reads the algorithm can see that it does not try.

Source:
    docs/sandbox.md; safetensors file format, https://github.com/huggingface/safetensors
"""

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from safetensors import SafetensorError, deserialize

from policies.errors import PolicyError
from policies.model import LanguageMap
from schemas.strict_json import JsonValue, MalformedJsonError, loads

METRICS = "metrics"
MODEL = "model"
DEFAULT_MODEL_PARAMETERS = 10_000

_MOST_METRICS = 200
_METRICS_BYTES = 64 << 10
_DIGITS = 6
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,39}")
_MOST_DIGITS_IN_NAME = 3
_MOST_NAME_CHARACTERS = 2048
_MOST_TENSORS = 64
_HEADER_LENGTH = 8
_HEADER_BYTES = 64 << 10
_MOST_DIMENSIONS = 8
_NUMBER_TYPES: Final = {"F32": "f", "F64": "d"}
"""The precisions of tensors: their names there, and how `struct` calls them."""
_SINGLE: Final = "F32"
_LARGEST_NUMBER = 8
_ALIGNMENT: Final = 8


class OutputRefusedError(PolicyError):
    """An output is not released.

    Attributes:
        name: The output, for the provider only: the computation chose the name,
            so it may be a row of the data.
        reason: Why, in German and English. It says nothing that the
            computation could have hidden in it, and may be sent.
    """

    def __init__(self, name: str, reason: LanguageMap) -> None:
        """Keep the reason; the message is the English one."""
        super().__init__(reason["en"])
        self.name = name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CheckedOutput:
    """An output that may leave.

    Attributes:
        name: The name it was declared under.
        kind: What it is: `metrics` or `model`.
        media_type: For whoever fetches it.
        content: Encoded by us.
        checks: What it has passed, for the receipt.
    """

    name: str
    kind: str
    media_type: str
    content: bytes
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedOutputs:
    """All that a computation releases, by name."""

    released: tuple[CheckedOutput, ...]


def check_outputs(
    files: Mapping[str, bytes],
    *,
    allowed_kinds: frozenset[str],
    declared: Mapping[str, str],
    max_parameters: int = DEFAULT_MODEL_PARAMETERS,
) -> CheckedOutputs:
    """Decide whether a computation's outputs may leave, and write them anew.

    All or nothing: one output that is refused refuses the computation's release.

    Args:
        files: What the computation left, by name.
        allowed_kinds: The kinds that the agreement permits.
        declared: The outputs that were announced, with their kinds.
        max_parameters: Most numbers in a model.

    Returns:
        The outputs as they are released, in the order of their names.

    Raises:
        OutputRefusedError: Naming the first output that is undeclared,
            missing, of a kind that is not permitted, or not what it claims.
    """
    for name in sorted(files.keys() - declared.keys()):
        raise OutputRefusedError(name, _undeclared(name))
    released = [
        _check(name, kind, files.get(name), allowed_kinds, max_parameters)
        for name, kind in sorted(declared.items())
    ]
    return CheckedOutputs(tuple(released))


def _check(
    name: str,
    kind: str,
    content: bytes | None,
    allowed_kinds: frozenset[str],
    max_parameters: int,
) -> CheckedOutput:
    if kind not in allowed_kinds or kind not in _KNOWN_KINDS:
        raise OutputRefusedError(name, _kind_not_permitted(name, kind))
    if content is None:
        raise OutputRefusedError(name, _missing(name))
    if kind == METRICS:
        return _check_metrics(name, content)
    return _check_model(name, content, max_parameters)


_KNOWN_KINDS = frozenset({METRICS, MODEL})


def _check_metrics(name: str, content: bytes) -> CheckedOutput:
    if len(content) > _METRICS_BYTES:
        raise OutputRefusedError(name, _too_large(name, _METRICS_BYTES))
    metrics = _rounded(name, _parse_metrics(name, content))
    encoded = json.dumps(metrics, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    checks = (
        "declared",
        "numbers only",
        f"at most {_MOST_METRICS} values",
        f"rounded to {_DIGITS} significant digits",
        "encoded anew",
    )
    return CheckedOutput(name, METRICS, "application/json", encoded, checks)


def _parse_metrics(name: str, content: bytes) -> dict[str, JsonValue]:
    try:
        metrics = loads(content, max_bytes=_METRICS_BYTES, max_depth=2)
    except MalformedJsonError as error:
        raise OutputRefusedError(name, _not_metrics(name)) from error
    if not isinstance(metrics, dict):
        raise OutputRefusedError(name, _not_metrics(name))
    _check_names(name, [*metrics, *_inner_names(metrics)])
    return metrics


def _inner_names(metrics: Mapping[str, JsonValue]) -> list[str]:
    return [inner for value in metrics.values() if isinstance(value, dict) for inner in value]


def _check_names(name: str, names: Sequence[str]) -> None:
    if len(names) > _MOST_METRICS or sum(map(len, names)) > _MOST_NAME_CHARACTERS:
        raise OutputRefusedError(name, _too_many_names(name))
    for inner in names:
        if not _is_plain(inner):
            raise OutputRefusedError(name, _bad_name(name))


def _is_plain(name: str) -> bool:
    """A name says what a number is; anything richer could be a row of the data."""
    return _NAME.fullmatch(name) is not None and sum(map(str.isdigit, name)) <= _MOST_DIGITS_IN_NAME


def _rounded(name: str, metrics: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        key: {inner: _number(name, number) for inner, number in value.items()}
        if isinstance(value, dict)
        else _number(name, value)
        for key, value in metrics.items()
    }


def _number(name: str, value: JsonValue) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OutputRefusedError(name, _not_metrics(name))
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if isinstance(value, int) else rounded + 0.0  # the sign of a zero says nothing


def _check_model(name: str, content: bytes, max_parameters: int) -> CheckedOutput:
    largest = _HEADER_LENGTH + _HEADER_BYTES + max_parameters * _LARGEST_NUMBER
    if len(content) > largest:
        raise OutputRefusedError(name, _too_large(name, largest))
    parameters = _count_parameters(name, _parse_header(name, content))
    if parameters > max_parameters:
        raise OutputRefusedError(name, _too_many_parameters(name, max_parameters))
    encoded = _encoded(_single_precision(name, content))
    checks = (
        "declared",
        "safetensors without metadata",
        f"{parameters} of at most {max_parameters} parameters",
        "finite numbers",
        "single precision",
        "encoded anew",
    )
    return CheckedOutput(name, MODEL, "application/vnd.safetensors", encoded, checks)


def _parse_header(name: str, content: bytes) -> dict[str, JsonValue]:
    length = int.from_bytes(content[:_HEADER_LENGTH], "little")
    if len(content) < _HEADER_LENGTH or length > min(_HEADER_BYTES, len(content) - _HEADER_LENGTH):
        raise OutputRefusedError(name, _not_model(name))
    try:
        header = loads(
            content[_HEADER_LENGTH : _HEADER_LENGTH + length], max_bytes=_HEADER_BYTES, max_depth=3
        )
    except MalformedJsonError as error:
        raise OutputRefusedError(name, _not_model(name)) from error
    if not isinstance(header, dict) or not header or len(header) > _MOST_TENSORS:
        raise OutputRefusedError(name, _not_model(name))
    return header


def _count_parameters(name: str, header: Mapping[str, JsonValue]) -> int:
    if not all(_is_plain(tensor) for tensor in header):  # `__metadata__` is no plain name either
        raise OutputRefusedError(name, _bad_name(name))
    return sum(_size(name, tensor) for tensor in header.values())


def _size(name: str, tensor: JsonValue) -> int:
    if not isinstance(tensor, dict) or tensor.get("dtype") not in list(_NUMBER_TYPES):
        raise OutputRefusedError(name, _not_model(name))
    shape = tensor.get("shape")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS:
        raise OutputRefusedError(name, _not_model(name))
    sizes = [size for size in shape if isinstance(size, int) and not isinstance(size, bool) and size > 0]
    if len(sizes) != len(shape):
        raise OutputRefusedError(name, _not_model(name))
    return math.prod(sizes)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor in single precision.

    Attributes:
        shape: Its extents.
        content: Its numbers, encoded.
    """

    shape: tuple[int, ...]
    content: bytes


def _single_precision(name: str, content: bytes) -> dict[str, _Tensor]:
    try:
        stored = deserialize(content)  # type: ignore[no-untyped-call]  # the library states no types
        return {tensor: _converted(found) for tensor, found in stored}
    except (SafetensorError, ValueError, KeyError) as error:
        raise OutputRefusedError(name, _not_model(name)) from error
    except OverflowError as error:
        raise OutputRefusedError(name, _not_finite(name)) from error


def _converted(stored: Mapping[str, Any]) -> _Tensor:
    numbers = _numbers(stored["dtype"], stored["data"])
    if not all(map(math.isfinite, numbers)):
        raise OverflowError
    single = _numbers(_SINGLE, _packed(numbers))
    # The sign of a zero says nothing; a number that has just become one had a sign, too.
    return _Tensor(tuple(stored["shape"]), _packed([number + 0.0 for number in single]))


def _numbers(dtype: str, content: bytes) -> tuple[float, ...]:
    kind = _NUMBER_TYPES[dtype]
    return struct.unpack(f"<{len(content) // struct.calcsize(kind)}{kind}", content)


def _packed(numbers: Sequence[float]) -> bytes:
    """Encode numbers in single precision; `OverflowError` where one is too large for it."""
    return struct.pack(f"<{len(numbers)}{_NUMBER_TYPES[_SINGLE]}", *numbers)


def _encoded(tensors: Mapping[str, _Tensor]) -> bytes:
    header: dict[str, JsonValue] = {}
    data = b""
    for name in sorted(tensors):
        tensor = tensors[name]
        end = len(data) + len(tensor.content)
        header[name] = {"dtype": _SINGLE, "shape": list(tensor.shape), "data_offsets": [len(data), end]}
        data += tensor.content
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % _ALIGNMENT)
    return len(written).to_bytes(_HEADER_LENGTH, "little") + written + data


def _undeclared(name: str) -> LanguageMap:
    if not _is_plain(name):
        return _UNDECLARED_AND_NOT_SHOWN
    return {
        "en": f"The output {name!r} was not declared. Declare it or do not write it.",
        "de": f"Die Ausgabe {name!r} wurde nicht angekündigt. Kündigen Sie sie an oder lassen Sie sie weg.",
    }


_UNDECLARED_AND_NOT_SHOWN: LanguageMap = {
    "en": "An output was not declared, and its name is not plain, so it is not shown. Do not write it.",
    "de": "Eine Ausgabe wurde nicht angekündigt. Ihr Name ist nicht einfach und wird nicht gezeigt. "
    "Lassen Sie sie weg.",
}


def _missing(name: str) -> LanguageMap:
    return {
        "en": f"The declared output {name!r} is missing. Let the job write it to /out.",
        "de": f"Die angekündigte Ausgabe {name!r} fehlt. Lassen Sie den Auftrag sie nach /out schreiben.",
    }


def _kind_not_permitted(name: str, kind: str) -> LanguageMap:
    return {
        "en": f"The output {name!r} is of kind {kind!r}. The agreement does not permit it. "
        "Declare another kind.",
        "de": f"Die Ausgabe {name!r} hat die Art {kind!r}. Die Vereinbarung erlaubt sie nicht. "
        "Wählen Sie eine andere.",
    }


def _too_large(name: str, limit: int) -> LanguageMap:
    return {
        "en": f"The output {name!r} is larger than {limit} bytes. Write less.",
        "de": f"Die Ausgabe {name!r} ist größer als {limit} Bytes. Schreiben Sie weniger.",
    }


def _not_metrics(name: str) -> LanguageMap:
    return {
        "en": f"The output {name!r} is not a JSON object of finite numbers, at most one level deep. "
        "Write names and numbers only.",
        "de": f"Die Ausgabe {name!r} ist kein JSON-Objekt aus endlichen Zahlen mit höchstens einer Ebene. "
        "Schreiben Sie nur Namen und Zahlen.",
    }


def _too_many_names(name: str) -> LanguageMap:
    return {
        "en": f"The output {name!r} holds more than {_MOST_METRICS} values, or names of more than "
        f"{_MOST_NAME_CHARACTERS} characters together. Write fewer values with shorter names.",
        "de": f"Die Ausgabe {name!r} enthält mehr als {_MOST_METRICS} Werte oder Namen von zusammen mehr als "
        f"{_MOST_NAME_CHARACTERS} Zeichen. Schreiben Sie weniger Werte mit kürzeren Namen.",
    }


def _bad_name(name: str) -> LanguageMap:
    # The name itself is not repeated: it may be a row of the data.
    return {
        "en": f"A name inside {name!r} is not plain. Use up to 40 letters, '_', '.', and at most "
        f"{_MOST_DIGITS_IN_NAME} digits.",
        "de": f"Ein Name in {name!r} ist nicht einfach. Verwenden Sie bis zu 40 Buchstaben, "
        f"'_', '.' und höchstens {_MOST_DIGITS_IN_NAME} Ziffern.",
    }


def _not_model(name: str) -> LanguageMap:
    return {
        "en": f"The output {name!r} is not a safetensors file of single or double precision tensors. "
        "Write it with safetensors, without metadata.",
        "de": f"Die Ausgabe {name!r} ist keine safetensors-Datei mit Tensoren einfacher oder doppelter "
        "Genauigkeit. Schreiben Sie sie mit safetensors und ohne Metadaten.",
    }


def _too_many_parameters(name: str, limit: int) -> LanguageMap:
    return {
        "en": f"The model {name!r} has more than {limit} parameters. Train a smaller one.",
        "de": f"Das Modell {name!r} hat mehr als {limit} Parameter. Trainieren Sie ein kleineres.",
    }


def _not_finite(name: str) -> LanguageMap:
    return {
        "en": f"The model {name!r} holds a number that is not finite in single precision. "
        "Check its training.",
        "de": f"Das Modell {name!r} enthält eine Zahl, die in einfacher Genauigkeit nicht endlich ist. "
        "Prüfen Sie das Training.",
    }
