"""Initialising: a participant's directory with its configuration, keys and management token."""

from pathlib import Path

from connector.adapters.key_files import KeyFileError
from connector.adapters.management_token import ManagementTokenError, create_management_token
from connector.adapters.own_credentials import create_keys
from connector.evidence.did import did_of
from connector.evidence.errors import DidError
from connector.settings import ConfigurationError

CONFIGURATION = "allmende.toml"
_TEMPLATE = """\
# Configuration of one Allmende participant; see docs/configuration.md.
participant_name = {name}
public_url = {url}
data_dir = "."
{unsafe}
[public]
host = {public_host}
port = {public_port}

[management]
host = {management_host}
port = {management_port}
"""


def initialise(
    directory: Path,
    *,
    name: str,
    public_url: str,
    public: tuple[str, int],
    management: tuple[str, int],
    unsafe_loopback_http: bool,
) -> Path:
    """Make a participant's directory; nothing that exists is overwritten.

    Args:
        directory: An empty or new directory.
        name: What the participant calls itself.
        public_url: Address at which others reach it.
        public: Host and port of the public listener.
        management: Host and port of the management listener.
        unsafe_loopback_http: Allow http between participants on this machine.

    Returns:
        The configuration file.

    Raises:
        ConfigurationError: The directory is in use or cannot be written, or the
            address has no `did:web` name.
    """
    configuration = directory / CONFIGURATION
    try:
        did_of(public_url)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if configuration.exists():
            raise ConfigurationError(f"{configuration} exists already; nothing was changed.")
        create_keys(directory)
        create_management_token(directory)
        configuration.write_text(
            _TEMPLATE.format(
                name=_quoted(name),
                url=_quoted(public_url),
                unsafe="unsafe_loopback_http = true\n" if unsafe_loopback_http else "",
                public_host=_quoted(public[0]),
                public_port=public[1],
                management_host=_quoted(management[0]),
                management_port=management[1],
            )
        )
    except (DidError, KeyFileError, ManagementTokenError) as problem:
        raise ConfigurationError(str(problem)) from problem
    except OSError as problem:
        raise ConfigurationError(f"{directory} cannot be used: {problem.strerror}.") from problem
    return configuration


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
