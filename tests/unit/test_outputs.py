"""What a computation may release: the typed output gate."""

import json
import pickle
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from policies.outputs import CheckedOutput, OutputRefusedError, check_outputs

BOTH = frozenset({"metrics", "model"})


def gate(kind: str, content: bytes, **options: Any) -> CheckedOutput:
    checked = check_outputs({"it": content}, allowed_kinds=BOTH, declared={"it": kind}, **options)
    (output,) = checked.released
    return output


def refusal(kind: str, content: bytes, **options: Any) -> str:
    with pytest.raises(OutputRefusedError) as caught:
        gate(kind, content, **options)
    assert caught.value.name == "it"
    assert set(caught.value.reason) == {"de", "en"}
    return caught.value.reason["en"]


def safetensors(header: Mapping[str, object], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_metrics_are_rounded_to_six_digits_and_written_anew() -> None:
    output = gate("metrics", b'{ "rmse": 0.123456789,\n "mae": 1234567.891, "rows": 70080 }')
    assert output.content == b'{"mae":1234570.0,"rmse":0.123457,"rows":70080}'
    assert output.media_type == "application/json"
    assert output.kind == "metrics"
    assert output.checks


def test_metrics_may_be_grouped_one_level_deep() -> None:
    assert gate("metrics", b'{"winter": {"mae": 1.5}, "n": 3}').content == b'{"n":3,"winter":{"mae":1.5}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1, 2]",
        b"1.5",
        b"null",
        b'{"a": "H0-A;0.35"}',
        b'{"a": null}',
        b'{"a": true}',
        b'{"a": [1, 2, 3]}',
        b'{"a": {"b": {"c": 1}}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": 123456789012345678901234567890}',
        b'{"a": 1} trailing',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
    ],
)
def test_metrics_that_are_no_finite_numbers_are_refused(content: bytes) -> None:
    assert "is not a JSON object of finite numbers" in refusal("metrics", content)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 41,
        "H0-A 2016-01-01T00:00Z 0.35",
        "load_0.3512",
        "Müller",
        "a\u200bb",
        "1st",
        "a\n",
    ],
)
def test_a_name_that_could_be_a_row_is_refused_and_not_repeated(name: str) -> None:
    for metrics in ({name: 1}, {"group": {name: 1}}):
        reason = refusal("metrics", json.dumps(metrics).encode())
        assert "not plain" in reason
        assert not name or name not in reason


def test_too_many_metrics_are_refused() -> None:
    assert "more than 200 values" in refusal(
        "metrics", json.dumps({f"m{i // 100}.{i % 100}": i for i in range(201)}).encode()
    )
    assert "characters together" in refusal(
        "metrics", json.dumps({chr(97 + i % 26) * (40 - i // 26): i for i in range(60)}).encode()
    )
    assert "larger than 65536 bytes" in refusal("metrics", b" " * 65537)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True).map(lambda name: "m" + name),
        st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53) + 1, 2**53 - 1),
        max_size=20,
    ),
)
def test_released_metrics_carry_at_most_six_digits_and_stay_close(metrics: dict[str, float]) -> None:
    released = json.loads(gate("metrics", json.dumps(metrics).encode()).content)
    assert released.keys() == metrics.keys()
    for name, value in released.items():
        assert value == pytest.approx(metrics[name], rel=5.1e-6, abs=0)
        assert len(f"{value:.17g}".split("e")[0].lstrip("-0.").replace(".", "").rstrip("0")) <= 17
        assert float(f"{value:.6g}") == value
        assert type(value) is type(metrics[name])


@given(st.binary(max_size=200))
def test_no_bytes_make_the_gate_fail_in_another_way_than_by_refusing(content: bytes) -> None:
    for kind in sorted(BOTH):
        try:
            gate(kind, content)
        except OutputRefusedError:
            continue


def test_a_model_is_released_in_single_precision_and_canonical_form() -> None:
    weights = np.array([[1.0, -0.0], [1 / 3, 2.5]], dtype=np.float64)
    output = gate("model", save({"weights": weights, "bias": np.array([7.0], dtype=np.float32)}))
    released = load(output.content)
    assert {name: tensor.dtype for name, tensor in released.items()} == {
        "weights": np.dtype(np.float32),
        "bias": np.dtype(np.float32),
    }
    assert released["weights"].tolist() == [[1.0, 0.0], [float(np.float32(1 / 3)), 2.5]]
    assert not np.signbit(released["weights"][0, 1])
    assert gate("model", output.content).content == output.content
    assert output.media_type == "application/vnd.safetensors"
    assert "5 of at most 10000 parameters" in output.checks


def test_a_model_may_hold_a_single_number_without_a_dimension() -> None:
    header = {"bias": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]}}
    released = load(gate("model", safetensors(header, struct.pack("<d", 0.5))).content)
    assert released["bias"].dtype == np.dtype(np.float32)
    assert released["bias"].tolist() == 0.5


def test_a_number_that_vanishes_in_single_precision_leaves_no_sign() -> None:
    released = load(gate("model", save({"w": np.array([-1e-60])})).content)
    assert released["w"].tolist() == [0.0]
    assert not np.signbit(released["w"][0])


def test_two_encodings_of_one_model_are_released_as_the_same_bytes() -> None:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    other = {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}
    one = safetensors({"a": tensor, "b": other}, struct.pack("<ff", 1, 2))
    two = safetensors({"b": tensor, "a": other}, struct.pack("<ff", 2, 1))
    assert gate("model", one).content == gate("model", two).content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps({"weights": [1.0]}), "is not a safetensors file"),
        (b"", "is not a safetensors file"),
        (b"\xff" * 8, "is not a safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "is not a safetensors file"),
        (save({"w": np.zeros(2)}, metadata={"rows": "H0-A;0.35"}), "not plain"),
        (save({"w": np.zeros(2, dtype=np.int64)}), "is not a safetensors file"),
        (save({"w": np.zeros(2, dtype=np.float16)}), "is not a safetensors file"),
        (save({"H0-A 0.35 2016": np.zeros(2)}), "not plain"),
        (save({"w": np.array([np.nan])}), "not finite"),
        (save({"w": np.array([np.inf])}), "not finite"),
        (save({"w": np.array([1e300])}), "not finite"),
        (save({"w": np.zeros(10_001, dtype=np.float32)}), "more than 10000 parameters"),
        (
            save({f"w{chr(97 + i % 26)}{i // 26}": np.zeros(1) for i in range(65)}),
            "is not a safetensors file",
        ),
        (save({"w": np.zeros(2)}) + b"H0-A;0.35", "is not a safetensors file"),
        (b"\0" * 200_000, "larger than"),
        (safetensors({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4), "is not"),
        (safetensors({"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, b"\0" * 4), "is not"),
        (safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\0" * 8), "is not"),
        (safetensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4), "is not"),
        (safetensors({"w": {"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]}}, b"\0" * 4), "is not"),
        (safetensors({"w": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4), "is not"),
    ],
)
def test_what_is_no_small_plain_model_is_refused(content: bytes, reason: str) -> None:
    assert reason in refusal("model", content)


def test_the_largest_model_is_the_callers_choice() -> None:
    model = save({"w": np.zeros(11)})
    assert "more than 10 parameters" in refusal("model", model, max_parameters=10)
    assert gate("model", model, max_parameters=11).content


@pytest.mark.parametrize(
    ("files", "declared", "allowed", "name"),
    [
        ({"metrics.json": b"{}", "rows.csv": b"x"}, {"metrics.json": "metrics"}, BOTH, "rows.csv"),
        ({}, {"metrics.json": "metrics"}, BOTH, "metrics.json"),
        ({"metrics.json": b"{}"}, {"metrics.json": "metrics"}, frozenset({"model"}), "metrics.json"),
        ({"metrics.json": b"{}"}, {"metrics.json": "table"}, frozenset({"table"}), "metrics.json"),
        ({"metrics.json": b"{}"}, {}, BOTH, "metrics.json"),
    ],
)
def test_what_is_undeclared_missing_or_not_permitted_is_refused_by_name(
    files: dict[str, bytes], declared: dict[str, str], allowed: frozenset[str], name: str
) -> None:
    with pytest.raises(OutputRefusedError) as caught:
        check_outputs(files, allowed_kinds=allowed, declared=declared)
    assert caught.value.name == name
    assert name in caught.value.reason["en"]
    assert name in caught.value.reason["de"]


def test_the_reason_does_not_repeat_an_undeclared_name_that_could_be_a_row() -> None:
    row = "H0-A 2016-01-01 0.35"
    with pytest.raises(OutputRefusedError) as caught:
        check_outputs({row: b""}, allowed_kinds=BOTH, declared={})
    assert caught.value.name == row
    assert not any(row in text for text in caught.value.reason.values())


def test_no_output_declared_and_none_left_releases_nothing() -> None:
    assert check_outputs({}, allowed_kinds=BOTH, declared={}).released == ()
