"""The demo's catalog, as values: what the tests of several folders start from."""

from datetime import UTC, datetime
from typing import Any

from catalog.model import Catalog, Column, ColumnRole, Dataset, Offer
from policies.odrl import parse_policy

POLICY = "https://w3id.org/allmende/policy/v1#"
UUID = "3dd1add8-4d2d-569e-8634-8394a8836a88"


def offer_document() -> dict[str, Any]:
    shared = [
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": POLICY + "LoadForecasting"},
        {"leftOperand": "dateTime", "operator": "gteq", "rightOperand": "2026-01-01T00:00:00Z"},
        {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-12-31T23:59:59Z"},
        {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"},
    ]
    query = [
        {"leftOperand": POLICY + "queryClass", "operator": "eq", "rightOperand": "aggregate"},
        {"leftOperand": POLICY + "groupUnit", "operator": "eq", "rightOperand": "profile"},
        {"leftOperand": POLICY + "minGroupSize", "operator": "gteq", "rightOperand": "5"},
        {"leftOperand": POLICY + "minGroupRows", "operator": "gteq", "rightOperand": "10"},
    ]
    compute = [
        {"leftOperand": POLICY + "algorithmDigest", "operator": "isAnyOf", "rightOperand": ["ab" * 32]},
        {
            "leftOperand": POLICY + "allowedColumn",
            "operator": "isAnyOf",
            "rightOperand": ["profile", "sector", "ts", "load_kw"],
        },
        {"leftOperand": POLICY + "outputKind", "operator": "isAnyOf", "rightOperand": ["metrics", "model"]},
        {"leftOperand": POLICY + "outputReview", "operator": "eq", "rightOperand": "auto"},
    ]
    return {
        "@type": "Offer",
        "@id": "urn:uuid:5a1add8e-4d2d-4690-8634-8394a8836a99",
        "profile": ["https://w3id.org/allmende/policy/v1"],
        "permission": [
            {"action": POLICY + "query", "constraint": shared + query},
            {"action": POLICY + "compute", "constraint": shared + compute},
        ],
        "prohibition": [{"action": "reproduce"}],
    }


def columns() -> tuple[Column, ...]:
    return (
        Column("profile", "string", ColumnRole.UNIT, {"de": "Lastprofil", "en": "Load profile"}),
        Column("sector", "string", ColumnRole.DIMENSION, {"de": "Art des Kunden", "en": "Kind of customer"}),
        Column(
            "ts",
            "timestamp[us, tz=UTC]",
            ColumnRole.TIME,
            {"de": "Beginn der Viertelstunde", "en": "Start of the quarter hour"},
        ),
        Column(
            "load_kw",
            "float",
            ColumnRole.MEASURE,
            {"de": "Mittlere Last", "en": "Mean load"},
            "kW",
            step=0.05,
        ),
    )


def dataset(**changes: Any) -> Dataset:
    document = offer_document()
    values: dict[str, Any] = {
        "identifier": f"urn:uuid:{UUID}",
        "table": "load_profiles",
        "title": {"de": "Lastprofile Rheinaue 2016", "en": "Load profiles Rheinaue 2016"},
        "description": {
            "de": "Viertelstundenwerte der elektrischen Last von Haushalten, Wärmepumpen und Ladepunkten.",
            "en": "Quarter-hourly electric load of households, heat pumps and charging points.",
        },
        "keywords": ("Lastprofil", "Strom", "Viertelstunde"),
        "license": "http://dcat-ap.de/def/licenses/other-closed",
        "source_note": {"de": "Aus SimBench 2016 (ODbL).", "en": "From SimBench 2016 (ODbL)."},
        "columns": columns(),
        "rows": 1_234_567,
        "digest": "cd" * 32,
        "formats": ("AllmendeQuery-PULL", "AllmendeCompute-PULL"),
        "offer": Offer(parse_policy(document, default_target=f"urn:uuid:{UUID}"), document),
        "issued": datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
        "modified": datetime(2026, 11, 21, 13, 5, tzinfo=UTC),
        "themes": ("ENER",),
    }
    return Dataset(**(values | changes))


def catalog(*datasets: Dataset, **changes: Any) -> Catalog:
    values: dict[str, Any] = {
        "participant_id": "did:web:stadtwerke-rheinaue.example",
        "title": "Stadtwerke Rheinaue",
        "identifier": "urn:uuid:3afeadd8-ed2d-469e-9634-8394a8836d57",
        "public_url": "https://stadtwerke-rheinaue.example",
        "service_identifier": "urn:uuid:4aa2dcc8-4d2d-469e-9634-8394a8834d77",
        "endpoint_url": "https://stadtwerke-rheinaue.example/dsp/2025-1",
        "datasets": datasets or (dataset(),),
        "contact_email": "daten@stadtwerke-rheinaue.example",
    }
    return Catalog(**(values | changes))
