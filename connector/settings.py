"""A participant's configuration: one TOML file, overridden by the environment, read once.

Source:
    docs/configuration.md
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

ENVIRONMENT_PREFIX = "ALLMENDE_"
Port = Annotated[int, Field(ge=0, le=65535)]


class ConfigurationError(Exception):
    """The configuration cannot be used; the sentence names the setting and the remedy."""


class Listener(BaseModel):
    """Where a listener listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Port


class Settings(BaseSettings):
    """Everything that can be set.

    Attributes:
        participant_name: What the participant calls itself.
        public_url: Address at which others reach the public listener; the DID follows from it.
        data_dir: Directory of the database, the keys and working files.
        database_url: SQLAlchemy address; SQLite in `data_dir` if empty.
        require_signatures: Refuse agreements that not both parties have signed.
        unsafe_loopback_http: Allow http and addresses of this machine; for demonstrations and tests.
        public: The public listener: protocol, DID document, catalog, data plane.
        management: The management listener: API and pages of the steward.
    """

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__"
    )
    toml_file: ClassVar[Path | None] = None

    participant_name: Annotated[str, Field(min_length=1, max_length=200)]
    public_url: str
    data_dir: Path
    database_url: str = ""
    require_signatures: bool = True
    unsafe_loopback_http: bool = False
    public: Listener = Listener(port=8080)
    management: Listener = Listener(port=8081)

    @field_validator("public_url")
    @classmethod
    def _is_plain_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://daten.example.de")
        return value.rstrip("/")

    @property
    def store_url(self) -> str:
        """Address of the database."""
        return self.database_url or f"sqlite:///{self.data_dir / 'allmende.sqlite'}"

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
    if not path.is_file():
        raise ConfigurationError(f"There is no configuration file {path}; make one with `allmende init`.")
    _refuse_unknown_environment()
    reader = type("FileSettings", (Settings,), {"toml_file": path, "__module__": __name__})
    try:
        settings = reader()
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(f"{path} is not valid TOML: {problem}.") from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        what = "is not a setting" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigurationError(f"{path}: {name}: {what}. See docs/configuration.md.") from problem
    absolute = path.parent.absolute() / settings.data_dir
    return settings.model_copy(update={"data_dir": absolute})


def _refuse_unknown_environment() -> None:
    """A misspelt variable must not be ignored: it might have been the one that matters."""
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(ENVIRONMENT_PREFIX) and name.partition("__")[0] not in known | _OTHER_VARIABLES:
            raise ConfigurationError(
                f"The environment variable {name} is not a setting; see docs/configuration.md."
            )


_OTHER_VARIABLES = frozenset({"ALLMENDE_SPEC_DIR"})
