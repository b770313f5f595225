"""The steps of the demonstration, each over the participants' own APIs, each with its evidence."""

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import safetensors.numpy

from connector.demo.assets import forecasting, job_files, job_outputs, publication
from connector.demo.participants import DemonstrationError, Participant
from connector.evidence.errors import EvidenceError
from connector.evidence.verification import verify_file
from schemas.vocabulary import DPV, POLICY

PURPOSE = POLICY + "LoadForecasting"
OTHER_PURPOSE = DPV + "Marketing"
STATEMENT = (
    "SELECT sector, hour(ts) AS hour, avg(load_kw) AS mean_kw, max(load_kw) AS peak_kw "
    "FROM load_profiles GROUP BY sector, hour(ts) ORDER BY sector, hour"
)
ROW_LEVEL = "SELECT profile, ts, load_kw FROM load_profiles"
PARAMETERS = {"holdout_days": 7}
_FORGERY = (b'"20"', b'"90"')
_RETRIES = 20
_PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class Company:
    """A provider in the demonstration, and what it has come to."""

    participant: Participant
    offer_name: str
    dataset: str = ""
    rows: int = 0
    terms: list[dict[str, Any]] = field(default_factory=list)
    agreement: str = ""


@dataclass(slots=True)
class Agreed:
    """A signed agreement as a file."""

    identifier: str
    provider: str
    file: Path
    signers: list[str]
    milliseconds: float


@dataclass(slots=True)
class Computed:
    """A released computation."""

    identifier: str
    provider: str
    state: str
    outputs: list[dict[str, Any]]
    receipt: Path
    metrics: dict[str, float]
    model: dict[str, "np.ndarray[Any, np.dtype[Any]]"]
    tier: str


@dataclass(slots=True)
class Checked:
    """Files of evidence that were checked offline.

    Attributes:
        sentences: File to what makes it valid.
        forgery: Why a copy of the first one, with 90 uses instead of 20, is not.
    """

    sentences: dict[Path, str]
    forgery: str


def segment(identifier: str) -> str:
    """An identifier as one segment of an address."""
    return quote(identifier, safe=":")


async def publish(company: Company) -> None:
    """Put a provider's dataset on offer; in a directory of an earlier run, replace that offer."""
    body = publication(company.offer_name)
    body["identifier"] = uuid.uuid5(uuid.NAMESPACE_URL, f"{company.participant.did}/{body['table']}").urn
    answer = await company.participant.call("POST", "/api/datasets", body)
    company.dataset, company.rows, company.terms = answer["identifier"], answer["rows"], answer["terms"]


async def read_catalog(consumer: Participant, company: Company) -> dict[str, Any]:
    """Read a provider's catalog over the Dataspace Protocol; returns the dataset that it offers."""
    view = await consumer.call("POST", "/api/catalogs", {"provider": company.participant.did})
    found = [dataset for dataset in view["datasets"] if dataset["identifier"] == company.dataset]
    if not found:
        raise DemonstrationError(f"The catalog of {company.participant.name} does not show its dataset.")
    dataset: dict[str, Any] = found[0]
    return dataset


async def negotiate(consumer: Participant, company: Company, evidence: Path) -> Agreed:
    """Negotiate one contract, and keep it as a file that both parties have signed."""
    began = time.perf_counter()
    outcome = await _negotiation(consumer, company.dataset, PURPOSE)
    elapsed = (time.perf_counter() - began) * 1000
    if outcome["state"] != "FINALIZED":
        raise DemonstrationError(f"{company.participant.name} gave no contract: {_reason(outcome)}")
    company.agreement = outcome["agreement_id"]
    data = await consumer.content(f"/api/agreements/{segment(company.agreement)}/evidence")
    verification = verify_file(data)
    file = evidence / f"agreement-{company.offer_name}.json"
    file.write_bytes(data)
    signers = [party.did for party in verification.parties]
    return Agreed(company.agreement, company.participant.name, file, signers, elapsed)


async def refused_purpose(consumer: Participant, company: Company) -> str:
    """Ask for the same data for another purpose; returns the provider's reason for saying no."""
    outcome = await _negotiation(consumer, company.dataset, OTHER_PURPOSE)
    if outcome["state"] != "TERMINATED":
        raise DemonstrationError(f"{company.participant.name} did not refuse another purpose.")
    return str(outcome["reason"])


async def _negotiation(consumer: Participant, dataset: str, purpose: str) -> dict[str, Any]:
    answer = await consumer.call("POST", "/api/negotiations", {"dataset": dataset, "purpose": purpose})
    outcome: dict[str, Any] = await consumer.call(
        "GET", f"/api/negotiations/{segment(answer['pid'])}?wait=30"
    )
    return outcome


async def refused_rows(consumer: Participant) -> str:
    """Ask for single rows; returns the reason for saying no."""
    return await consumer.refusal("POST", "/api/queries", {"statement": ROW_LEVEL})


async def ask(consumer: Participant, agreements: Sequence[str]) -> dict[str, Any]:
    """One statement over all providers; asked again while one of them is being started again."""
    body = {"statement": STATEMENT, "agreements": list(agreements)}
    for _ in range(_RETRIES):
        result: dict[str, Any] = await consumer.call("POST", "/api/queries", body)
        if all(site["status"] != "unreachable" for site in result["sites"]):
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    for site in result["sites"]:
        if site["status"] != "released":
            raise DemonstrationError(f"{site['name']} gave no result: {site['reason']}")
    return result


async def compute(consumer: Participant, companies: Sequence[Company], evidence: Path) -> list[Computed]:
    """Run the job at every provider, and fetch what is released."""
    return list(await asyncio.gather(*(_computation(consumer, company, evidence) for company in companies)))


async def _computation(consumer: Participant, company: Company, evidence: Path) -> Computed:
    body = {
        "agreement_id": company.agreement,
        "files": job_files(),
        "parameters": PARAMETERS,
        "outputs": job_outputs(),
    }
    identifier = (await consumer.call("POST", "/api/computations", body))["identifier"]
    address = f"/api/computations/{segment(identifier)}"
    shown = await consumer.call("GET", f"{address}?wait=60")
    if shown["state"] != "RELEASED":
        raise DemonstrationError(f"{company.participant.name} released nothing: {_reason(shown)}")
    contents = {
        output["name"]: await consumer.content(f"{address}/outputs/{output['name']}")
        for output in shown["outputs"]
    }
    receipt = evidence / f"receipt-{company.offer_name}-computation.json"
    receipt.write_bytes(await consumer.content(f"/api/receipts/{segment(shown['receipt'])}"))
    return Computed(
        identifier=identifier,
        provider=company.participant.name,
        state=shown["state"],
        outputs=shown["outputs"],
        receipt=receipt,
        metrics={name: float(value) for name, value in json.loads(contents["metrics.json"]).items()},
        model=safetensors.numpy.load(contents["model.safetensors"]),
        tier=shown["tier"],
    )


def _reason(record: dict[str, Any]) -> str:
    """Why an exchange did not come to its good end."""
    return str(record["reason"] or record["held"] or f"it is still {record['state']}, which takes too long.")


def compare(computed: Sequence[Computed]) -> dict[str, float]:
    """Average the released models, and measure the consumer's own model against the joint one."""
    forecast = forecasting()
    joint = forecast["average"]([one.model for one in computed])
    comparison = forecast["compare"](joint, *forecast["own_series"]())
    return {
        name: float(getattr(comparison, name)) for name in ("own_mae", "joint_mae", "own_rmse", "joint_rmse")
    }


async def query_receipts(
    consumer: Participant, companies: Sequence[Company], result: dict[str, Any], evidence: Path
) -> list[Path]:
    """Keep the receipts of a query as files, in the order of its sites."""
    names = {company.agreement: company.offer_name for company in companies}
    files = []
    for site in result["sites"]:
        file = evidence / f"receipt-{names[site['agreement_id']]}-query.json"
        file.write_bytes(await consumer.content(f"/api/receipts/{segment(site['receipt'])}"))
        files.append(file)
    return files


async def books(companies: Sequence[Company]) -> list[dict[str, Any]]:
    """What has left each provider's house, from its own ledger."""
    lines = []
    for company in companies:
        ledger = await company.participant.call("GET", "/api/ledger")
        totals = ledger["totals"].get(company.dataset, {})
        lines.append(
            {
                "provider": company.participant.name,
                "dataset": company.dataset,
                "rows_offered": company.rows,
                "entries": len(ledger["entries"]),
                **totals,
            }
        )
    return lines


def check(files: Sequence[Path]) -> Checked:
    """Check files of evidence as anybody can, offline; then the first, an agreement, with one changed byte.

    Raises:
        DemonstrationError: A file is not valid, or the changed one is.
    """
    sentences = {}
    for file in files:
        try:
            sentences[file] = verify_file(file.read_bytes()).steps[-1]["en"]
        except EvidenceError as reason:
            raise DemonstrationError(f"{file} is not valid: {reason}") from reason
    try:
        verify_file(files[0].read_bytes().replace(*_FORGERY, 1))
    except EvidenceError as reason:
        return Checked(sentences, str(reason))
    raise DemonstrationError(f"One byte of {files[0]} was changed, and nobody noticed.")
