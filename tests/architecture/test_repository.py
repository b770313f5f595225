import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADRS = ROOT / "docs" / "adr"

MACHINE_PATH = re.compile(r"(?<![\w.$\-~}/])/(?:work|root|home/\w+)/")
REGISTRY = re.compile(
    "|".join(("pypi" + r"\.org", "python" + "hosted", r"registry\.npm" + r"js", "deb" + r"\.debian"))
)
REQUIREMENT = re.compile(r"^[\w.-]+(?:\[[\w,-]+\])?==\S+( ; .+)?( \\)?$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-postgres.txt", "requirements-build.txt")
ALONE = "requirements-acro.txt"  # for an environment of its own


def listed_files() -> list[Path]:
    """Everything that belongs to the repository: what git tracks, and what it does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "this is no git checkout, so nobody can tell which files belong to it", allow_module_level=True
        )
    return [ROOT / name for name in sorted(set(listing.split("\0"))) if name and (ROOT / name).is_file()]


def read_texts() -> dict[str, str]:
    """The repository's files that are text, by path."""
    texts = {}
    for path in listed_files():
        content = path.read_bytes()
        if b"\0" not in content and path.suffix != ".parquet":
            texts[str(path.relative_to(ROOT))] = content.decode("utf-8")
    return texts


TEXTS = read_texts()


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert {name: found for name, text in TEXTS.items() if (found := MACHINE_PATH.findall(text))} == {}


def test_no_file_names_a_package_registry() -> None:
    assert {name: found for name, text in TEXTS.items() if (found := REGISTRY.findall(text))} == {}


def test_text_ends_with_a_newline_and_has_neither_tabs_nor_trailing_blanks() -> None:
    assert {name for name, text in TEXTS.items() if text and not text.endswith("\n")} == set()
    assert {name for name, text in TEXTS.items() if "\t" in text} - {"Makefile"} == set()
    assert {name for name, text in TEXTS.items() if re.search(r"[ \t]+$", text, re.MULTILINE)} == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /" + "work/main", True),
        ("ls /" + "home/anna/allmende", True),
        ('"/' + 'root/key"', True),
        ("https://example.org/work/item", False),
        ("examples/work/x", False),
        ("/var/lib/postgresql", False),
    ],
)
def test_the_check_of_paths_tells_machines_from_addresses(text: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is found


@pytest.mark.parametrize("name", [*LOCKS, ALONE])
def test_a_lock_pins_and_hashes_everything_and_holds_nothing_else(name: str) -> None:
    lines = TEXTS[name].splitlines()
    pinned = [line for line in lines if REQUIREMENT.match(line)]
    assert pinned
    assert [line for line in lines if not REQUIREMENT.match(line) and not HASH.match(line)] == []
    followers = [following for line, following in pairwise(lines) if REQUIREMENT.match(line)]
    assert len(followers) == len(pinned)
    assert all(HASH.match(line) for line in followers)


def test_all_locks_agree_on_each_version() -> None:
    versions: dict[str, set[frozenset[str]]] = {}
    for lock in LOCKS:
        pins = re.findall(r"^([\w.-]+)==(\S+)", TEXTS[lock], re.MULTILINE)
        for name in {name for name, _ in pins}:
            # One library may have several versions, each for another Python.
            pinned = frozenset(version for other, version in pins if other == name)
            versions.setdefault(name, set()).add(pinned)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_every_decision_record_is_listed_and_every_listed_one_exists() -> None:
    index = (ADRS / "README.md").read_text(encoding="utf-8")
    records = {path.name for path in ADRS.glob("*.md")} - {"README.md"}
    assert records
    assert set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", index)) == records


def test_decision_records_are_numbered_without_gap_or_repetition() -> None:
    numbers = sorted(int(path.name[:4]) for path in ADRS.glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_licence_is_apache_2() -> None:
    assert "Apache License" in TEXTS["LICENSE"]
    assert "END OF TERMS AND CONDITIONS" in TEXTS["LICENSE"]
    assert 'license = "Apache-2.0"' in TEXTS["pyproject.toml"]
