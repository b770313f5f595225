"""The token that opens the management listener, in a file that only its owner can read."""

import secrets
import stat
from pathlib import Path
from typing import Final

_FILE: Final = "management.token"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class ManagementTokenError(Exception):
    """The token cannot be used; the sentence names the remedy."""


def create_management_token(directory: Path) -> None:
    """Make a token.

    Args:
        directory: The participant's directory.

    Raises:
        ManagementTokenError: There is one already, or it cannot be written.
    """
    path = directory / _FILE
    try:
        # The file is closed to others before the token is in it.
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(secrets.token_urlsafe(32))
    except OSError as problem:
        raise ManagementTokenError(f"{path} cannot be made: {problem.strerror}.") from problem


def read_management_token(directory: Path) -> str:
    """Read the token.

    Args:
        directory: The participant's directory.

    Raises:
        ManagementTokenError: There is none, it is empty, or others can read it.
    """
    path = directory / _FILE
    try:
        if path.stat().st_mode & _OTHERS:
            raise ManagementTokenError(f"{path} can be read or changed by others. Run: chmod 600 {path}")
        token = path.read_text().strip()
    except OSError as problem:
        raise ManagementTokenError(
            f"{path} cannot be read: {problem.strerror}. Run `allmende init` first."
        ) from problem
    if not token:
        raise ManagementTokenError(f"{path} is empty. Delete it, and run `allmende init` in a new directory.")
    return token
