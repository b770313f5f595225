"""The messages of the Decentralized Claims Protocol by which credentials are asked for and shown.

Source:
    Eclipse Decentralized Claims Protocol 1.0, section 5.4 (resolution API).
"""

from collections.abc import Sequence
from typing import Final

from schemas.errors import SchemaError
from schemas.strict_json import JsonObject, JsonValue

DCP_CONTEXT: Final = "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"
QUERY_PATH: Final = "/presentations/query"
"""Where a credential service is asked, below its address."""
TYPE_SCOPE: Final = "org.eclipse.dspace.dcp.vc.type:"
"""Asks for credentials of a type."""
IDENTIFIER_SCOPE: Final = "org.eclipse.dspace.dcp.vc.id:"
"""Asks for the credential with an identifier."""
READ: Final = ":read"
"""What some connectors write behind a type; it changes nothing."""
_MOST_SCOPES: Final = 50
_MOST_PRESENTATIONS: Final = 10


class DefinitionNotSupportedError(SchemaError):
    """Somebody asks for credentials with a presentation definition, which is optional in DCP."""


def presentation_query(scopes: Sequence[str]) -> JsonObject:
    """Write the message that asks for credentials.

    Args:
        scopes: What is asked for, such as `org.eclipse.dspace.dcp.vc.type:MembershipCredential`.
    """
    return {"@context": [DCP_CONTEXT], "type": "PresentationQueryMessage", "scope": list(scopes)}


def presentation_response(presentations: Sequence[str]) -> JsonObject:
    """Write the message that shows credentials.

    Args:
        presentations: The presentations, each as a token.
    """
    return {
        "@context": [DCP_CONTEXT],
        "type": "PresentationResponseMessage",
        "presentation": list(presentations),
    }


def scopes_in(document: JsonValue) -> tuple[str, ...]:
    """Read the message that asks for credentials.

    Returns:
        What is asked for.

    Raises:
        DefinitionNotSupportedError: It asks by a presentation definition.
        SchemaError: It is no such message, or asks for nothing or in two ways.
    """
    message = _message(document, "PresentationQueryMessage")
    scope, definition = message.get("scope"), message.get("presentationDefinition")
    if definition is not None and scope is not None:
        raise SchemaError("The query must have either a scope or a presentationDefinition, not both.")
    if definition is not None:
        raise DefinitionNotSupportedError("A presentationDefinition is not understood here; ask by scope.")
    scopes = _texts(scope, "scope")
    if not 0 < len(scopes) <= _MOST_SCOPES:
        raise SchemaError(f"The query must have 1 to {_MOST_SCOPES} scopes.")
    return scopes


def presentations_in(document: JsonValue) -> tuple[str, ...]:
    """Read the message that shows credentials.

    Returns:
        The presentations, each as a token.

    Raises:
        SchemaError: It is no such message, or shows something other than tokens.
    """
    shown = _texts(_message(document, "PresentationResponseMessage").get("presentation"), "presentation")
    if len(shown) > _MOST_PRESENTATIONS:
        raise SchemaError(f"The answer has more than {_MOST_PRESENTATIONS} presentations.")
    return shown


def _message(document: JsonValue, kind: str) -> JsonObject:
    if not isinstance(document, dict) or document.get("type") != kind:
        raise SchemaError(f"The message must be a {kind}.")
    context = document.get("@context")
    if not isinstance(context, list) or DCP_CONTEXT not in context:
        raise SchemaError(f"The message must name the context {DCP_CONTEXT}.")
    return document


def _texts(value: JsonValue, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise SchemaError(f"The message's {name} must be a list of texts.")
    return tuple(str(one) for one in value)
