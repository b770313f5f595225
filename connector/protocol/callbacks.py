"""Callback addresses: where a counterparty wants our messages, and whether that is its own place.

A counterparty names the address in its first message. If any address were taken,
whoever gets hold of somebody's token could have all further messages sent to
himself, and a participant could make us write to a third one.

Source:
    Dataspace Protocol 2025-1, `callbackAddress`; docs/protocol.md.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from connector.protocol.exchange import RemoteProtocolError

_PORTS: Final = {"http": 80, "https": 443}


class CallbackRefusedError(RemoteProtocolError):
    """A first message asks for answers at an address that is not its sender's."""


def origin_of(address: str) -> str | None:
    """Scheme, host and port of an address in their one spelling.

    Returns:
        Such as `https://daten.example.de:443`; None for what is no HTTP address,
        or carries a user name.

    Source:
        RFC 6454, section 4.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme, parts.hostname
    if (
        scheme not in _PORTS
        or not host
        or "@" in parts.netloc
        or any(sign in address for sign in " \\\t\r\n")
    ):
        return None
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or _PORTS[scheme]}"


def require_own_callback(callback: str, addresses: Iterable[str] | None) -> None:
    """Refuse a callback address whose origin is none of its sender's.

    Args:
        callback: The address that a first message states.
        addresses: Where the sender's services are, as its DID document or our
            configuration says; None where neither does, as for a participant
            that is known by a fixed token alone: then any origin is taken.

    Raises:
        CallbackRefusedError: Names the address and what would be accepted.
    """
    origin = origin_of(callback)
    if origin is None:
        raise CallbackRefusedError(
            f"The callbackAddress {callback[:200]!r} is no HTTP address: it needs https and a host."
        )
    if addresses is None:
        return
    own = dict.fromkeys(found for address in addresses if (found := origin_of(address)) is not None)
    if origin not in own:
        raise CallbackRefusedError(
            f"The callbackAddress {callback[:200]!r} is not of an origin that its sender's identity names: "
            f"{', '.join(own) or 'none'}. List the service in the DID document."
        )
