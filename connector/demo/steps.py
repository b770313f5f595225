"""The steps of the demonstration, each over the participants' own APIs, each with its evidence."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import safetensors.numpy

from connector.demo.assets import forecasting, job_files, job_outputs, publication
from connector.demo.participants import DemonstrationError, Participant
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


def segment(identifier: str) -> str:
    """An identifier as one segment of an address."""
    return quote(identifier, safe=":")


async def publish(company: Company) -> None:
    """Put a provider's dataset on offer."""
    answer = await company.participant.call("POST", "/api/datasets", publication(company.offer_name))
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
        raise DemonstrationError(f"{company.participant.name} gave no contract: {outcome['reason']}")
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
        raise DemonstrationError(f"{company.participant.name} agreed to a purpose that it does not offer.")
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


async def ask(consumer: Participant) -> dict[str, Any]:
    """One statement over all providers."""
    result: dict[str, Any] = await consumer.call("POST", "/api/queries", {"statement": STATEMENT})
    for site in result["sites"]:
        if site["status"] != "released":
            raise DemonstrationError(f"{site['name']} gave no result: {site['reason']}")
    return result


async def compute(consumer: Participant, companies: list[Company], evidence: Path) -> list[Computed]:
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
        raise DemonstrationError(f"{company.participant.name} released nothing: {shown['reason']}")
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


def compare(computed: list[Computed]) -> dict[str, float]:
    """Average the released models, and measure the consumer's own model against the joint one."""
    forecast = forecasting()
    joint = forecast["average"]([one.model for one in computed])
    comparison = forecast["compare"](joint, *forecast["own_series"]())
    return {
        name: float(getattr(comparison, name)) for name in ("own_mae", "joint_mae", "own_rmse", "joint_rmse")
    }


async def query_receipts(consumer: Participant, result: dict[str, Any], evidence: Path) -> list[Path]:
    """Keep the receipts of a query as files."""
    files = []
    for number, site in enumerate(result["sites"]):
        file = evidence / f"receipt-query-{number + 1}.json"
        file.write_bytes(await consumer.content(f"/api/receipts/{segment(site['receipt'])}"))
        files.append(file)
    return files


async def books(companies: list[Company]) -> list[dict[str, Any]]:
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
