"""Initialising: a participant's directory with its configuration, keys and management token."""

import os
import stat
from pathlib import Path

from connector.adapters.key_files import KeyFileError
from connector.adapters.management_token import ManagementTokenError, create_management_token
from connector.adapters.own_credentials import create_keys
from connector.settings import ConfigurationError, require_address, require_name

CONFIGURATION = "allmende.toml"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
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

    The directory and everything in it can be read by their owner only.

    Args:
        directory: A new or empty directory.
        name: What the participant calls itself.
        public_url: Address at which others reach it.
        public: Host and port of the public listener.
        management: Host and port of the management listener.
        unsafe_loopback_http: Allow http between participants on this machine.

    Returns:
        The configuration file.

    Raises:
        ConfigurationError: The directory is in use or cannot be written, or the
            name or the address cannot be used; nothing was made then.
    """
    require_name(name)
    require_address(public_url)
    configuration = directory / CONFIGURATION
    text = _TEMPLATE.format(
        name=_quoted(name),
        url=_quoted(public_url),
        unsafe="unsafe_loopback_http = true\n" if unsafe_loopback_http else "",
        public_host=_quoted(public[0]),
        public_port=public[1],
        management_host=_quoted(management[0]),
        management_port=management[1],
    )
    try:
        _make_private(directory)
        create_keys(directory)
        create_management_token(directory)
        _write_new(configuration, text)
    except (KeyFileError, ManagementTokenError) as problem:
        raise ConfigurationError(str(problem)) from problem
    except OSError as problem:
        raise ConfigurationError(
            f"{directory} cannot be used as a participant's directory: {problem.strerror}. "
            "Name another one, or mend its rights."
        ) from problem
    return configuration


def _make_private(directory: Path) -> None:
    """Keys, raw data and results lie here; other users of the machine must not get in."""
    directory.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    if (directory / CONFIGURATION).exists():
        raise ConfigurationError(f"{directory / CONFIGURATION} exists already; nothing was changed.")
    if any(directory.iterdir()):
        raise ConfigurationError(f"{directory} is not empty; name a new or empty directory.")
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & _OTHERS:
        directory.chmod(mode & ~_OTHERS)


def _write_new(path: Path, text: str) -> None:
    # The configuration may come to hold a database password.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in {"\\", '"'}:
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
