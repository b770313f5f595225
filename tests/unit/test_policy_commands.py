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
