"""What a job may consist of, and what its algorithm is called."""

import hashlib
from pathlib import Path

import pytest

from connector.protocol.jobs import ComputationOutcome, Job, JobRefusedError, algorithm_digest, check_job


def job(files: dict[str, str], input_name: str = "load_profiles.arrow") -> Job:
    return Job("urn:uuid:1", files, {}, Path("projection.arrow"), input_name)


def test_the_digest_is_of_the_canonical_json_of_the_files() -> None:
    expected = hashlib.sha256('{"a.py":"x = \\"ä\\"\\n","main.py":"import a"}'.encode()).hexdigest()
    assert algorithm_digest({"main.py": "import a", "a.py": 'x = "ä"\n'}) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"main.py": "pass "},
        {"Main.py": "pass"},
        {"main.py": "pass", "a.py": ""},
        {"main.py": "pass\r\n"},
        {},
    ],
)
def test_every_change_of_the_algorithm_changes_its_digest(other: dict[str, str]) -> None:
    assert algorithm_digest(other) != algorithm_digest({"main.py": "pass"})


def test_a_text_that_is_no_unicode_has_no_digest() -> None:
    with pytest.raises(JobRefusedError):
        algorithm_digest({"main.py": "\ud800"})


def test_ordinary_jobs_are_accepted() -> None:
    check_job(job({"main.py": "", "model/__init__.py": "", "model/ridge.py": "", "größe.txt": "ä"}))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../main.py",
        "a/../../b",
        "a/./b",
        ".",
        "..",
        "",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "a\\b",
        "a" * 129,
        "\ud800",
        "main.py/inner",
    ],
)
def test_a_path_that_leaves_the_jobs_directory_is_refused_by_name(path: str) -> None:
    with pytest.raises(JobRefusedError) as caught:
        check_job(job({"main.py": "", path: ""}))
    assert caught.value.name == path
    assert set(caught.value.reason) == {"de", "en"}


@pytest.mark.parametrize("name", ["", "..", "a/b", "/in", "parameters.json", "a\0"])
def test_an_inputs_name_is_one_plain_component(name: str) -> None:
    with pytest.raises(JobRefusedError):
        check_job(job({"main.py": ""}, input_name=name))


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"program.py": ""},
        {"main.py": "", **{f"a{number}.py": "" for number in range(64)}},
        {"main.py": "x" * (1 << 20)},
        {"main.py": "ä" * (1 << 19)},
    ],
)
def test_a_job_without_entry_point_or_beyond_its_size_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(JobRefusedError):
        check_job(job(files))


@pytest.mark.parametrize(
    ("exit_code", "timed_out", "cancelled", "succeeded"),
    [(0, False, False, True), (1, False, False, False), (None, True, False, False), (0, False, True, False)],
)
def test_an_outcome_succeeds_only_by_itself(
    exit_code: int | None, timed_out: bool, cancelled: bool, succeeded: bool
) -> None:
    assert ComputationOutcome(exit_code, timed_out, cancelled, 1.0, (), (), b"", "t").succeeded is succeeded
