"""A participant's configuration: one TOML file, overridden by the environment, read once.

Source:
    docs/configuration.md
"""

import os
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from connector.evidence.did import did_of
from connector.evidence.errors import DidError
from connector.evidence.trusted_issuers import SETS, Fact, TrustedIssuer
from connector.protocol.machine import Party
from connector.protocol.workflow import Action, Rule, Workflow, WorkflowError
from policies.circumstances import CalendarEvent, Circumstances
from policies.facts import Partner
from policies.places import PLACE
from schemas.errors import WordedError, in_english

ENVIRONMENT_PREFIX = "ALLMENDE_"
_DELIMITER = "__"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LONGEST_NAME = 200
_DATABASES = ("sqlite:///", "postgresql+psycopg://")
_DOCUMENTATION = "See docs/configuration.md."
_IRI = r"^[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"{}|\\^`]+$"
Port = Annotated[int, Field(ge=1, le=65535)]
Iri = Annotated[str, Field(pattern=_IRI)]


class ConfigurationError(WordedError):
    """The configuration cannot be used; the sentence names the setting and the remedy."""

    german = "Die Konfiguration kann nicht benutzt werden"


class Listener(BaseModel):
    """Where a listener listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port


class PublicListener(Listener):
    """The listener that other participants reach."""

    port: Port = 8080


class ManagementListener(Listener):
    """The listener for the participant's own people and programs."""

    port: Port = 8081


class StaticTokenSetting(BaseModel):
    """A participant without a DID, known by a fixed token that both sides send."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    participant: Annotated[str, Field(min_length=1)]
    token: Annotated[str, Field(min_length=16)]


class MockTokenSetting(BaseModel):
    """A participant that says who it is in plain JSON, as EDC's mock identity does; for tests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    participant: Annotated[str, Field(min_length=1)]
    address: Annotated[str, Field(min_length=1)]
    region: Annotated[str, Field(min_length=1)] = "eu"


class WorkflowSetting(BaseModel):
    """A rule for what the connector does by itself; see docs/configuration.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Party | None = None
    state: str | None = None
    action: Action
    dataset: str | None = None
    agreement: str | None = None
    occurrence: Annotated[int, Field(ge=1)] | None = None
    delay_ms: Annotated[int, Field(ge=0, le=86_400_000)] = 0

    def rule(self) -> Rule:
        """The rule as the protocol core has it."""
        return Rule(
            role=self.role,
            state=self.state,
            action=self.action,
            dataset=self.dataset,
            agreement=self.agreement,
            occurrence=self.occurrence,
            delay=timedelta(milliseconds=self.delay_ms),
        )


class EventSetting(BaseModel):
    """An event that policies can refer to by its name; the same one may take place several times."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME, pattern=r"^[^\x00-\x1f]+$")]
    begins: Annotated[AwareDatetime, Field(alias="from")]
    ends: Annotated[AwareDatetime, Field(alias="until")]

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.ends < self.begins:
            raise ValueError(f"the event {self.name!r} ends before it begins")
        return self


class ParticipantSetting(BaseModel):
    """A partner that the participant vouches for: its own statement, not a credential of a third party."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    participant: Annotated[str, Field(min_length=1)]
    organisation: Iri | None = None
    memberships: frozenset[Iri] = frozenset()
    roles: frozenset[Iri] = frozenset()
    security_levels: frozenset[Iri] = frozenset()
    seat: Annotated[str, Field(pattern=f"^{PLACE.pattern}$")] | None = None
    catena_x_member: bool = False
    business_partner_number: Annotated[str, Field(pattern=r"^BPN[LSA][0-9A-Z]{12}$")] | None = None
    business_partner_groups: frozenset[str] = frozenset()
    framework_agreements: frozenset[str] = frozenset()

    def partner(self) -> Partner:
        """What policies are compared with."""
        return Partner(**self.model_dump(exclude={"participant"}))


class TrustedIssuerSetting(BaseModel):
    """An issuer whose credentials of one type count, and what they prove about a partner."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, Field(pattern=r"^did:web:")]
    credential: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,99}$")]
    memberships: frozenset[Iri] = frozenset()
    roles: frozenset[Iri] = frozenset()
    security_levels: frozenset[Iri] = frozenset()
    business_partner_groups: frozenset[str] = frozenset()
    framework_agreements: frozenset[str] = frozenset()
    catena_x_member: bool = False
    claims: Mapping[Fact, Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]] = {}

    @model_validator(mode="after")
    def _proves_something(self) -> Self:
        if not (self.claims or self.catena_x_member or any(getattr(self, fact) for fact in SETS)):
            raise ValueError(
                f"the credential {self.credential} proves nothing; name what it proves, or claims"
            )
        return self

    def rule(self) -> TrustedIssuer:
        """What its credentials prove."""
        return TrustedIssuer(
            issuer=self.issuer,
            credential=self.credential,
            proves={fact: getattr(self, fact) for fact in SETS},
            claims={str(fact): name for fact, name in self.claims.items()},
            catena_x_member=self.catena_x_member,
        )


class Settings(BaseSettings):
    """Everything that can be set.

    Attributes:
        participant_name: What the participant calls itself.
        public_url: Address at which others reach the public listener; the DID follows from it.
        data_dir: Directory of the database, the keys and working files.
        database_url: SQLAlchemy address; SQLite in `data_dir` if empty.
        place: Where the connector and its data are: a country or a NUTS region; unknown if empty.
        require_signatures: Conclude no agreement that not both parties have signed.
        unsafe_loopback_http: Allow http and addresses of this machine; for demonstrations and tests.
        public: The public listener: protocol, DID document, catalog, data plane.
        management: The management listener: API and pages of the steward.
        static_tokens: Participants without a DID; on this machine only, unless
            `unsafe_static_tokens` is set.
        unsafe_static_tokens: Allow them on a listener that other machines reach.
        mock_tokens: Participants that are believed without proof, for tests with EDC; on
            this machine only, unless `unsafe_mock_tokens` is set.
        unsafe_mock_tokens: Believe them on a listener that other machines reach.
        workflow: Rules that override what policies decide; the first one that matches counts.
        events: Events that policies can refer to by name.
        participants: Partners that the participant vouches for, each once.
        trusted_issuers: Whose credentials count about partners, and what they prove.
    """

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter=_DELIMITER
    )
    toml_file: ClassVar[Path | None] = None

    participant_name: Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
    public_url: str
    data_dir: Path
    database_url: str = ""
    place: str = ""
    require_signatures: bool = False
    unsafe_loopback_http: bool = False
    public: PublicListener = PublicListener()
    management: ManagementListener = ManagementListener()
    static_tokens: tuple[StaticTokenSetting, ...] = ()
    unsafe_static_tokens: bool = False
    mock_tokens: tuple[MockTokenSetting, ...] = ()
    unsafe_mock_tokens: bool = False
    workflow: tuple[WorkflowSetting, ...] = ()
    events: tuple[EventSetting, ...] = ()
    participants: tuple[ParticipantSetting, ...] = ()
    trusted_issuers: tuple[TrustedIssuerSetting, ...] = ()

    @model_validator(mode="after")
    def _tokens_stay_on_this_machine(self) -> Self:
        if self.public.host in _LOOPBACK:
            return self
        for name, used, allowed in (
            ("static_tokens", self.static_tokens, self.unsafe_static_tokens),
            ("mock_tokens", self.mock_tokens, self.unsafe_mock_tokens),
        ):
            if used and not allowed:
                raise ValueError(
                    f"{name} are refused on a listener that other machines reach; "
                    f"remove them, or set unsafe_{name}"
                )
        return self

    @field_validator("workflow")
    @classmethod
    def _rules_can_apply(cls, value: tuple[WorkflowSetting, ...]) -> tuple[WorkflowSetting, ...]:
        try:
            Workflow([setting.rule() for setting in value])
        except WorkflowError as problem:
            raise ValueError(str(problem)) from problem
        return value

    @field_validator("participants")
    @classmethod
    def _each_stands_once(cls, value: tuple[ParticipantSetting, ...]) -> tuple[ParticipantSetting, ...]:
        names = [entry.participant for entry in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the participant {twice[0]} stands there twice")
        return value

    @field_validator("place")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        if value and not PLACE.fullmatch(value):
            raise ValueError("place must be an ISO 3166 country or a NUTS region, such as DE or DE11")
        return value

    @field_validator("public_url")
    @classmethod
    def _is_plain_address(cls, value: str) -> str:
        _address(value)
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _is_known_database(cls, value: str) -> str:
        # The value itself is not repeated: it may hold a password.
        if value and not value.startswith(_DATABASES):
            raise ValueError(f"must begin with {' or '.join(_DATABASES)}")
        return value

    @property
    def store_url(self) -> str:
        """Address of the database."""
        return self.database_url or f"sqlite:///{self.data_dir / 'allmende.sqlite'}"

    @property
    def circumstances(self) -> Circumstances:
        """What the participant states about itself, the calendar and its partners."""
        return Circumstances(
            self.place or None,
            tuple(CalendarEvent(entry.name, entry.begins, entry.ends) for entry in self.events),
            {entry.participant: entry.partner() for entry in self.participants},
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        del init_settings, dotenv_settings, file_secret_settings
        return env_settings, TomlConfigSettingsSource(settings_cls, cls.toml_file)


def read_settings(path: Path) -> Settings:
    """Read a configuration file, and what the environment overrides.

    A relative `data_dir` is taken relative to the file.

    Args:
        path: The TOML file.

    Raises:
        ConfigurationError: The file is missing or malformed, a setting is unknown or wrong.
    """
    if not path.exists():
        raise ConfigurationError(
            f"There is no configuration file {path}; make one with `allmende init`.",
            f"Es gibt keine Konfigurationsdatei {path}; `allmende init` legt eine an.",
        )
    if not path.is_file():
        raise ConfigurationError(
            f"{path} is no regular file; name a configuration file, or make one with `allmende init`.",
            f"{path} ist keine gewöhnliche Datei; bitte nennen Sie eine Konfigurationsdatei, "
            "oder legen Sie mit `allmende init` eine an.",
        )
    _refuse_unknown_environment()
    reader: type[Settings] = type("FileSettings", (Settings,), {"toml_file": path, "__module__": __name__})
    try:
        settings = reader()
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(
            f"{path} is not valid TOML: {problem}.", f"{path} ist kein gültiges TOML {in_english(problem)}."
        ) from problem
    except UnicodeDecodeError as problem:
        raise ConfigurationError(
            f"{path} is not valid TOML: it is no UTF-8 text.",
            f"{path} ist kein gültiges TOML: Es ist kein UTF-8-Text.",
        ) from problem
    except OSError as problem:
        raise ConfigurationError(
            f"{path} cannot be read: {problem.strerror}.",
            f"{path} kann nicht gelesen werden {in_english(problem.strerror)}.",
        ) from problem
    except SettingsError as problem:
        # A variable for a whole section is read as JSON.
        raise ConfigurationError(f"The environment: {problem}. {_DOCUMENTATION}") from problem
    except ValidationError as problem:
        raise ConfigurationError(_sentence(path, problem)) from problem
    absolute = path.parent.absolute() / settings.data_dir
    return settings.model_copy(update={"data_dir": absolute})


def require_name(value: str) -> None:
    """Refuse what no participant can be called.

    Raises:
        ConfigurationError: It is empty, too long, or no Unicode text.
    """
    if not value.strip() or len(value) > _LONGEST_NAME:
        raise ConfigurationError(f"A participant's name has 1 to {_LONGEST_NAME} characters.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigurationError("A participant's name must be Unicode text (UTF-8).")


def require_address(value: str) -> SplitResult:
    """Split the address of a public listener, and refuse what is none.

    Raises:
        ConfigurationError: It is no plain http(s) address of a host with a name.
    """
    try:
        return _address(value)
    except ValueError as problem:
        raise ConfigurationError(f"The address {value!r} cannot be used: it {problem}.") from problem


def _address(value: str) -> SplitResult:
    """The parts of a public listener's address; a ValueError where it is none."""
    try:
        parts = urlsplit(value)
    except ValueError as problem:
        raise ValueError(f"is malformed: {problem}") from problem
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://daten.example.de")
    try:
        did_of(value)
    except DidError as problem:
        raise ValueError(
            "has no did:web name: it needs a lower-case host name, no IP address and no user name, "
            "a port from 1 to 65535 if any, and plain path segments"
        ) from problem
    return parts


def _sentence(path: Path, problem: ValidationError) -> str:
    """What is wrong with the first wrong setting, and where it was set."""
    first = problem.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    variable = (ENVIRONMENT_PREFIX + _DELIMITER.join(place)).upper()
    is_from_environment = variable in {name.upper() for name in os.environ}
    where = f"The environment variable {variable}" if is_from_environment else f"{path}: {'.'.join(place)}"
    what = {
        "extra_forbidden": "is not a setting",
        "missing": "is missing",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))
    return f"{where}: {what.rstrip('.')}. {_DOCUMENTATION}"


def _known_variables() -> set[str]:
    listener = {name.upper() for name in Listener.model_fields}
    known = set()
    for name, field in Settings.model_fields.items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        known.add(variable)
        if field.annotation in {PublicListener, ManagementListener}:
            known |= {variable + _DELIMITER + part for part in listener}
    return known


def _refuse_unknown_environment() -> None:
    """A misspelt variable must not be ignored: it might have been the one that matters."""
    known = _known_variables() | _OTHER_VARIABLES
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            raise ConfigurationError(f"The environment variable {name} is not a setting. {_DOCUMENTATION}")


_OTHER_VARIABLES = frozenset({"ALLMENDE_SPEC_DIR"})
