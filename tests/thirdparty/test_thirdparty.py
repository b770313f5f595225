"""Digital Bazaar's npm packages agree with us about evidence that our connectors made for each other."""

import json
import re
from typing import Any

import pytest

from connector.evidence.verification import verify_file
from tests.region.conftest import contracted, region_stages
from tests.region.participants import STATEMENT, Region, segment
from tests.thirdparty import run
from tests.thirdparty.evidence import SignedDocument, altered, did_documents_in, signed_documents_in

__all__ = ["contracted", "region_stages"]

needs_packages = pytest.mark.skipif(
    not run.is_installed(), reason="the npm packages are not installed: make verify-thirdparty"
)


async def evidence(region: Region) -> list[bytes]:
    """An agreement and a receipt, as the consumer keeps them."""
    agreement = await region.agreement_with(region.rheinaue)
    body = {"statement": STATEMENT, "agreements": [agreement]}
    answer = await region.lastwerk.call("POST", "/api/queries", body)
    receipt = next(site["receipt"] for site in answer["sites"] if site["receipt"])
    return [
        await region.lastwerk.file(f"/api/agreements/{segment(agreement)}/evidence"),
        await region.lastwerk.file(f"/api/receipts/{segment(receipt)}"),
    ]


def judged(documents: list[SignedDocument], files: list[bytes]) -> dict[str, Any]:
    known = {did: one for data in files for did, one in did_documents_in(json.loads(data)).items()}
    return run.verify(documents, known)


@needs_packages
async def test_what_our_connectors_sign_is_valid_elsewhere_and_not_after_any_change(
    contracted: Region,
) -> None:
    files = await evidence(contracted)
    documents = [document for data in files for document in signed_documents_in(json.loads(data))]
    assert len(documents) >= 3
    kinds = {document.name.split()[0] for document in documents}
    assert {"agreement", "receipt", "tree"} <= kinds

    answers = judged(documents, files)
    assert {name: answer for name, answer in answers.items() if answer["verified"] is not True} == {}
    assert sum(answer["proofs"] for answer in answers.values()) == len(documents) + 1

    changed = [one for document in documents for one in altered(document)]
    assert len(changed) > 100
    accepted = [name for name, answer in judged(changed, files).items() if answer["verified"] is not False]
    assert accepted == []


@needs_packages
async def test_an_agreement_with_one_of_its_signatures_is_not_what_both_signed(contracted: Region) -> None:
    files = await evidence(contracted)
    (agreement,) = signed_documents_in(json.loads(files[0]))
    verify_file(files[0])
    half = {**agreement.content, "proof": agreement.content["proof"][:1]}
    answer = judged([SignedDocument("half", half, 2)], files)["half"]
    assert (answer["verified"], answer["proofs"]) == (False, 1)


def test_the_lock_file_names_no_registry_and_pins_every_package() -> None:
    text = (run.HERE / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    packages.pop("")
    assert packages
    assert "resolved" not in text
    assert all(re.match(r"sha512-", one["integrity"]) and one["version"] for one in packages.values())


def test_every_value_of_a_document_is_altered_once() -> None:
    content = {"a": "xyz", "b": [1, True, None], "c": {"d": "1"}}
    found = [one.content for one in altered(SignedDocument("x", content, 1))]
    assert found == [
        {"a": "x1z", "b": [1, True, None], "c": {"d": "1"}},
        {"a": "xyz", "b": [2, True, None], "c": {"d": "1"}},
        {"a": "xyz", "b": [1, False, None], "c": {"d": "1"}},
        {"a": "xyz", "b": [1, True, None], "c": {"d": "2"}},
    ]


def test_without_node_one_sentence_says_so_and_the_exit_code_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run.main() == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "verify-thirdparty: node is not here; install Node.js 20 or newer and try again.\n"
