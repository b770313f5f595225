"""Time, identifiers and secrets of the real world."""

import secrets
import uuid
from datetime import UTC, datetime


class SystemClock:
    """The operating system's clock."""

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)


class RandomIdentifiers:
    """Identifiers and secrets from the operating system's random source."""

    def new(self) -> str:
        """A fresh `urn:uuid:` IRI."""
        return uuid.uuid4().urn

    def secret(self) -> str:
        """A fresh access token of 256 bits."""
        return secrets.token_urlsafe(32)
