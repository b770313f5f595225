"""`allmende policy`: what a steward sees, in German and English, and how it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connector.cli import app
from policies.odrl import parse_policy
from policies.templates import TEMPLATES
from policies.terms import require_enforceable

POLICY = "https://w3id.org/allmende/policy/v1#"
OFFER = {
    "@type": "Offer",
    "permission": [
        {
            "action": POLICY + "query",
            "constraint": [
                {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"},
                {"leftOperand": "purpose", "operator": "isA", "rightOperand": POLICY + "LoadForecasting"},
            ],
        }
    ],
    "prohibition": [{"action": "reproduce"}, {"action": "sell"}],
}


def allmende(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["policy", *arguments])


def file_with(directory: Path, content: object) -> str:
    path = directory / "policy.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_policy_is_explained_term_by_term(tmp_path: Path) -> None:
    shown = allmende("explain", file_with(tmp_path, OFFER))
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "enforced odrl:count at each access At most 20 uses." in lines
    assert (
        "enforced odrl:reproduce in the catalog, at start and at each access Raw data must not be copied."
        in lines
    )
    assert "declared odrl:sell - The data must not be sold." in lines
    assert "4 enforced, 1 declared, 0 refused." in lines


def test_a_policy_is_explained_in_german(tmp_path: Path) -> None:
    shown = allmende("explain", file_with(tmp_path, OFFER), "--lang", "de")
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "durchgesetzt odrl:count bei jedem Zugriff Höchstens 20 Nutzungen." in lines
    assert "zugesagt odrl:sell - Die Daten dürfen nicht verkauft werden." in lines
    assert "4 durchgesetzt, 1 zugesagt, 0 abgelehnt." in lines


def test_what_is_refused_is_shown_with_the_reason_and_the_command_still_succeeds(tmp_path: Path) -> None:
    strange = {"leftOperand": "https://example.org/mood", "operator": "eq", "rightOperand": "good"}
    product = {"leftOperand": "product", "operator": "eq", "rightOperand": "https://example.org/product"}
    rule = {"action": POLICY + "query", "constraint": [strange, product]}
    shown = allmende("explain", file_with(tmp_path, {**OFFER, "permission": [rule], "profile": "urn:other"}))
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "refused urn:other - Profile urn:other." in lines
    assert "The term https://example.org/mood is unknown." in lines
    assert any(line.endswith("odrl:product cannot be measured here.") for line in lines) or any(
        line.endswith("/product cannot be measured here.") for line in lines
    )
    assert "This policy is neither published nor accepted as it stands." in lines


def test_the_map_is_there_for_programs_too(tmp_path: Path) -> None:
    shown = allmende("explain", file_with(tmp_path, OFFER), "--json")
    assert shown.exit_code == 0
    entries = json.loads(shown.stdout)
    assert {entry["level"] for entry in entries} == {"enforced", "declared"}
    assert entries[1]["where"] == ["access"]
    assert set(entries[1]["sentence"]) == {"de", "en"}


def test_short_names_of_catena_x_are_understood(tmp_path: Path) -> None:
    constraint = {"leftOperand": "DataUsageEndDurationDays", "operator": "eq", "rightOperand": 30}
    document = {
        "@context": "https://w3id.org/catenax/2025/9/policy/context.jsonld",
        "permission": [{"action": "use", "constraint": [constraint]}],
    }
    shown = allmende("explain", file_with(tmp_path, document))
    assert shown.exit_code == 0
    assert "cx-policy:DataUsageEndDurationDays" in shown.stdout
    assert "Use for 30 days" in shown.stdout


PURPOSE = {"leftOperand": "purpose", "operator": "isA", "rightOperand": "https://w3id.org/dpv#Marketing"}
END = {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-01-01T00:00:00Z"}
PLACE = {"leftOperand": "spatial", "operator": "isPartOf", "rightOperand": "DE"}
HEADS = {
    "and": ("All 2 conditions must hold:", "Alle 2 Bedingungen müssen gelten:"),
    "or": (
        "At least one of 2 conditions must hold:",
        "Mindestens eine von 2 Bedingungen muss gelten:",
    ),
    "xone": (
        "Exactly one of 2 conditions must hold:",
        "Genau eine von 2 Bedingungen muss gelten:",
    ),
    "andSequence": (
        "All 2 conditions must hold, in this order:",
        "Alle 2 Bedingungen müssen gelten, in dieser Reihenfolge:",
    ),
}


@pytest.mark.parametrize("connective", HEADS)
def test_what_joins_conditions_is_shown_above_them(tmp_path: Path, connective: str) -> None:
    rule = {"action": "use", "constraint": [{connective: [PURPOSE, {"and": [END, PLACE]}]}]}
    file = file_with(tmp_path, {"permission": [rule]})
    for language, head in zip(("en", "de"), HEADS[connective], strict=True):
        lines = allmende("explain", file, "--lang", language).stdout.splitlines()
        [first] = [number for number, line in enumerate(lines) if line.strip() == head]
        place = len(lines[first]) - len(lines[first].lstrip())
        words = "Only for the purpose" if language == "en" else "Nur für den Zweck"
        assert lines[first + 1][place:].startswith(f"  1. {words}")
        nested = "All 2 conditions:" if language == "en" else "Alle 2 Bedingungen:"
        assert lines[first + 3][place:] == f"  2. {nested}"
        assert lines[first + 4][place:].startswith("       1. ")
        assert lines[first + 5][place:].startswith("       2. ")


@pytest.mark.parametrize("kind", ["prohibition", "obligation"])
def test_what_joins_the_conditions_of_a_prohibition_or_duty_is_shown_too(tmp_path: Path, kind: str) -> None:
    rule = {"action": "print", "constraint": [{"or": [PURPOSE, END]}, PLACE]}
    shown = allmende("explain", file_with(tmp_path, {kind: [rule]})).stdout
    assert "Holds if all 2 conditions are true:" in shown
    assert "1. At least one of 2 conditions:" in shown
    assert "Holds if:" not in shown


def test_programs_see_what_joins_conditions(tmp_path: Path) -> None:
    rule = {"action": "use", "constraint": [{"or": [PURPOSE, END]}]}
    entries = json.loads(allmende("explain", file_with(tmp_path, {"permission": [rule]}), "--json").stdout)
    group = {"group": "permission/0/constraint/0", "connective": "or", "of": 2}
    assert [entry["within"] for entry in entries] == [
        [],
        [{**group, "position": 1}],
        [{**group, "position": 2}],
    ]


HOUSE = {"@id": "https://coop.example/rules", "prohibition": [{"action": "distribute"}]}


def parent_in(directory: Path, content: object) -> str:
    path = directory / "parent.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_the_rules_that_a_policy_takes_over_are_explained_with_its_own(tmp_path: Path) -> None:
    heir = file_with(tmp_path, {**OFFER, "inheritFrom": HOUSE["@id"]})
    shown = allmende("explain", heir, "--parent", parent_in(tmp_path, HOUSE))
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "declared odrl:distribute - The data must not be passed on to third parties." in lines
    assert "4 enforced, 2 declared, 0 refused." in lines


@pytest.mark.parametrize(
    ("language", "missing"),
    [("en", "is not at hand, and it is not fetched"), ("de", "liegt nicht vor, und abgerufen wird er nicht")],
)
def test_a_policy_whose_parent_is_missing_is_shown_with_what_to_do(
    tmp_path: Path, language: str, missing: str
) -> None:
    heir = file_with(tmp_path, {**OFFER, "inheritFrom": HOUSE["@id"]})
    shown = allmende("explain", heir, "--lang", language)
    assert shown.exit_code == 0
    assert missing in shown.stdout
    assert "--parent" in shown.stdout


def test_a_parent_without_a_name_ends_with_one_sentence(tmp_path: Path) -> None:
    parent = parent_in(tmp_path, {"prohibition": [{"action": "sell"}]})
    shown = allmende("explain", file_with(tmp_path, OFFER), "--parent", parent)
    assert shown.exit_code == 2
    assert "needs exactly one name" in shown.stderr


FORECASTING = ("--purpose", POLICY + "LoadForecasting")
REPORT = "https://w3id.org/force/compliance-report#"


def state_of(told: dict, position: int) -> str:
    return told["report:ruleReport"][position]["report:activationState"]["@id"]


@pytest.mark.parametrize(
    ("options", "code", "state"),
    [
        ((*FORECASTING, "--uses", "19"), 0, "report:Active"),
        ((*FORECASTING, "--uses", "20"), 3, "report:Inactive"),
        (FORECASTING, 3, "report:Inactive"),
        (("--uses", "0"), 3, "report:Inactive"),
    ],
    ids=["permitted", "used up", "uses unknown", "no purpose"],
)
def test_a_report_says_how_every_rule_stands_and_exits_with_the_answer(
    tmp_path: Path, options: tuple[str, ...], code: int, state: str
) -> None:
    shown = allmende("report", file_with(tmp_path, OFFER), "--action", "query", *options)
    assert shown.exit_code == code, shown.stderr
    told = json.loads(shown.stdout)
    assert told["allmende:permitted"]["@value"] == ("false" if code else "true")
    assert [state_of(told, position) for position in range(3)] == [state, *["report:Inactive"] * 2]
    wanted = told["report:policyRequest"]["odrl:permission"]
    assert wanted["odrl:action"] == {"@id": POLICY + "query"}


def test_a_report_is_turtle_where_that_is_asked_for(tmp_path: Path) -> None:
    options = ("--action", "reproduce", "--format", "turtle")
    shown = allmende("report", file_with(tmp_path, OFFER), *options)
    assert shown.exit_code == 3
    assert f"@prefix report: <{REPORT}> ." in shown.stdout
    assert "a report:ProhibitionReport" in shown.stdout


def test_a_report_is_about_the_time_and_the_partner_that_are_named(tmp_path: Path) -> None:
    until = {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-01-01T00:00:00Z"}
    rule = {"action": "read", "constraint": [until]}
    file = file_with(tmp_path, {"@id": "urn:p", "permission": [rule], "assignee": "did:web:b"})
    for options, code in (
        (("--at", "2026-12-31T23:59:59Z"), 0),
        (("--at", "2027-01-01T01:00:00Z"), 3),
        (("--at", "2026-12-31T23:59:59Z", "--assignee", "did:web:c"), 3),
    ):
        assert allmende("report", file, "--action", "read", *options).exit_code == code, options


def test_a_policy_that_connectors_do_not_exchange_is_decided_all_at_once(tmp_path: Path) -> None:
    several = {
        "@id": "urn:p",
        "permission": [{"action": "read", "target": "urn:a"}, {"action": "print", "target": "urn:b"}],
    }
    shown = allmende("report", file_with(tmp_path, several), "--action", "read")
    assert shown.exit_code == 3
    assert len(json.loads(shown.stdout)["report:ruleReport"]) == 2


def test_the_rules_of_a_parent_are_reported_too(tmp_path: Path) -> None:
    house = {**HOUSE, "prohibition": [{"action": POLICY + "query"}]}
    heir = file_with(tmp_path, {**OFFER, "inheritFrom": HOUSE["@id"]})
    options = ("--action", "query", *FORECASTING, "--uses", "0")
    assert allmende("report", heir, *options).exit_code == 2
    shown = allmende("report", heir, *options, "--parent", parent_in(tmp_path, house))
    assert shown.exit_code == 3
    assert state_of(json.loads(shown.stdout), 3) == "report:Active"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--action", "quary"), "quary is unknown"),
        (("--action", "query", "--at", "tomorrow"), "takes a time with its zone"),
        (("--action", "query", "--at", "2027-01-01T00:00:00"), "takes a time with its zone"),
        (("--action", "query", "--parent", "missing.json"), "cannot be read"),
    ],
)
def test_a_report_that_cannot_be_made_ends_with_one_sentence(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    shown = allmende("report", file_with(tmp_path, OFFER), *options)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert said in shown.stderr


UNREADABLE = [
    ("not json", "is no policy"),
    ("[]", "does not hold a JSON object"),
    ('{"@id": "a", "@id": "b"}', "is no policy"),
    ("{}", "has no rule"),
    ('{"permission": "yes"}', "must hold an object"),
    ('{"permission": [{"action": {"a": 1}}]}', "action"),
    ('{"permission": [{"constraint": []}]}', "no action"),
    ('{"permission": [{"action": "use", "constraint": [{"and": 1}], "@type": "Duty"}]}', "Duty"),
    (
        '{"leftOperand": "count", "operator": "lteq", "rightOperand": "1"}',
        "a single constraint and no policy",
    ),
    ('{"or": []}', "a single constraint and no policy"),
    ('{"@context": {"use": "urn:x"}, "permission": [{"action": "use"}]}', "@context"),
]


def test_what_is_not_understood_is_listed_where_it_stands(tmp_path: Path) -> None:
    policy = {**OFFER, "ids:provider": "urn:x"}
    policy["permission"] = [{**OFFER["permission"][0], "ids:pipEndpoint": "urn:x"}]  # type: ignore[index] # a list
    shown = allmende("explain", file_with(tmp_path, policy))
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    whole, rule = lines.index("Whole policy"), lines.index("Permission (permission/0)")
    assert whole < lines.index("refused ids:provider - Stands with the policy as a whole.") < rule
    assert rule < lines.index("refused ids:pipEndpoint - Stands in permission/0.")
    assert "4 enforced, 1 declared, 2 refused." in lines
    assert lines[-1] == "This policy is neither published nor accepted as it stands."


@pytest.mark.parametrize(("content", "sentence"), UNREADABLE)
def test_a_file_that_is_no_policy_ends_with_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    shown = allmende("explain", file_with(tmp_path, content))
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert sentence in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_file_that_is_missing_ends_with_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "nothing.json"
    shown = allmende("explain", str(path))
    assert shown.exit_code == 2
    assert shown.stderr == f"allmende: {path} cannot be read: It does not exist.\n"


IN_GERMAN = [
    ("not json", "ist kein Vertrag: Der Text ist kein gültiges JSON."),
    ("[]", "ist kein Vertrag: Die Datei enthält kein JSON-Objekt."),
    ("{}", "Eine Regel fehlt (permission)."),
    ('{"or": []}', "Das ist eine einzelne Bedingung und kein Vertrag"),
    (
        '{"@context": {"use": "urn:x"}, "permission": [{"action": "use"}]}',
        "Ein eigener @context kann Wörter umdeuten",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), IN_GERMAN)
def test_a_file_that_is_no_policy_ends_with_a_german_sentence(
    tmp_path: Path, content: str, sentence: str
) -> None:
    shown = allmende("explain", file_with(tmp_path, content), "--lang", "de")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert sentence in shown.stderr


def test_a_file_that_cannot_be_read_or_written_says_why_in_german(tmp_path: Path) -> None:
    missing = allmende("explain", str(tmp_path / "nothing.json"), "--lang", "de")
    folder = allmende("explain", str(tmp_path), "--lang", "de")
    unsaved = allmende("new", "aggregate-only", "-o", str(tmp_path / "missing" / "x.json"), "--lang", "de")
    assert [shown.exit_code for shown in (missing, folder, unsaved)] == [2, 2, 2]
    assert "kann nicht gelesen werden: Es gibt sie nicht." in missing.stderr
    assert "kann nicht gelesen werden: Das ist ein Verzeichnis." in folder.stderr
    assert "kann nicht geschrieben werden: Ihr Verzeichnis gibt es nicht." in unsaved.stderr


def test_a_new_policy_is_written_and_accepted(tmp_path: Path) -> None:
    path = tmp_path / "offer.json"
    settings = ["--set", "columns=sector,load_kw", "--set", "unit=profile", "--set", "min_group_size=5"]
    shown = allmende("new", "aggregate-only", *settings, "-o", str(path))
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "")
    document = json.loads(path.read_text(encoding="utf-8"))
    require_enforceable(parse_policy(document))
    assert document["@id"].startswith("urn:uuid:")
    assert allmende("explain", str(path)).exit_code == 0


def test_a_new_policy_goes_to_standard_output_and_has_a_new_name_each_time() -> None:
    written = [json.loads(allmende("new", "aggregate-only").stdout) for _ in range(2)]
    assert written[0]["permission"] == written[1]["permission"]
    assert written[0]["@id"] != written[1]["@id"]


REFUSED = [
    (("nonsense",), "There is no template nonsense; possible: aggregate-only"),
    (("aggregate-only", "--set", "min_group_size"), "--set takes KEY=VALUE"),
    (("aggregate-only", "--set", "unit=a", "--set", "unit=b"), "stated twice"),
    (("aggregate-only", "--set", "min_group_size=x"), "min_group_size: The value “x”"),
    (("aggregate-only", "--set", "size=5"), "has no key size"),
    (("compute-only",), "requires algorithm"),
    (("compute-only", "--lang", "de"), "verlangt algorithm"),
    (("nonsense", "--lang", "de"), "Es gibt keine Vorlage nonsense; möglich: aggregate-only"),
    (("aggregate-only", "--set", "unit", "--lang", "de"), "--set verlangt SCHLÜSSEL=WERT"),
    (("aggregate-only", "--set", "unit=a", "--set", "unit=b", "--lang", "de"), "ist zweimal angegeben"),
    (
        ("aggregate-only", "--set", "until=2020-99-01"),
        "required is: date and time with a zone, such as 2027-12-31T23:59:59Z.",
    ),
    (
        ("aggregate-only", "--set", "until=2020-99-01", "--lang", "de"),
        "verlangt ist: ein Zeitpunkt mit Zeitzone wie 2027-12-31T23:59:59Z.",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED)
def test_what_cannot_be_written_ends_with_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    shown = allmende("new", *arguments)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert sentence in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_policy_that_cannot_be_saved_ends_with_one_sentence(tmp_path: Path) -> None:
    shown = allmende("new", "aggregate-only", "-o", str(tmp_path / "missing" / "offer.json"))
    assert shown.exit_code == 2
    assert "cannot be written" in shown.stderr


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_templates_are_listed_with_keys_and_defaults(language: str) -> None:
    shown = allmende("list", "--lang", language)
    assert shown.exit_code == 0
    for template in TEMPLATES.values():
        assert f"{template.name}: {template.title[language]}" in shown.stdout
        for key in template.keys:
            assert f"  {key.name} " in shown.stdout
    assert ("10 unless set" if language == "en" else "sonst 10") in shown.stdout


def test_the_templates_are_listed_for_programs_too() -> None:
    listed = {template["name"]: template for template in json.loads(allmende("list", "--json").stdout)}
    [size] = [key for key in listed["aggregate-only"]["keys"] if key["name"] == "min_group_size"]
    assert (size["default"], size["required"]) == ("10", False)
    [algorithm] = [key for key in listed["compute-only"]["keys"] if key["name"] == "algorithm"]
    assert (algorithm["default"], algorithm["required"]) == (None, True)
