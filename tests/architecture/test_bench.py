"""The benchmark measures what it names; how long anything takes is asserted nowhere."""

import re
from pathlib import Path

import pytest

from bench.measuring import Table, milliseconds, percentile, ratio
from bench.observed import STATIONS, Stopwatches, around, located
from bench.run import PARTS, main

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@pytest.mark.parametrize("place", [place for places in STATIONS.values() for place in places])
def test_every_station_of_the_negotiation_is_a_function_that_exists(place: str) -> None:
    owner, name = located(place)
    assert callable(getattr(owner, name))


def test_every_part_has_its_table_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(PARTS) <= set(re.findall(r"^## (\w+)$", text, re.MULTILINE))


def test_an_unknown_part_is_named_and_nothing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "speed"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "speed" in err


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.5, 5.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([4.0, 3.0, 2.0, 1.0], 0.95, 4.0),
        (list(range(1, 101)), 0.95, 95),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def test_a_table_is_markdown_with_its_notes() -> None:
    table = Table("Start", ("what", "median"), [["ready", "900 ms"]], ["A note."])
    assert table.markdown() == (
        "### Start\n\n| what | median |\n| --- | ---: |\n| ready | 900 ms |\n\nA note."
    )


def test_times_are_shown_with_three_digits_at_most() -> None:
    assert [milliseconds(seconds) for seconds in (0.00123, 0.0546, 0.1234)] == ["1.2 ms", "54.6 ms", "123 ms"]
    assert ratio(3.0, 2.0) == "1.5"


async def test_a_timer_counts_calls_and_changes_no_answer() -> None:
    async def answer(value: int) -> int:
        return value + 1

    watches = Stopwatches()
    assert await around(answer, "waited", watches)(1) == 2
    assert around(lambda value: value * 2, "called", watches)(4) == 8
    with pytest.raises(ZeroDivisionError):
        around(lambda: 1 // 0, "called", watches)()
    assert '"waited": [1, ' in watches.written()
    assert '"called": [2, ' in watches.written()
    watches.reset()
    assert '"stations": {}' in watches.written()
