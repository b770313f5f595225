"""The actions of ODRL and of our profile: which one includes which.

Source:
    ODRL Vocabulary 2.2, section 4.7 (https://www.w3.org/TR/odrl-vocab/#actions);
    docs/policy-profile.md for `query` and `compute`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.model import LanguageMap
from schemas.vocabulary import ODRL, POLICY

CREATIVE_COMMONS: Final = "http://creativecommons.org/ns#"

USE: Final = ODRL + "use"
TRANSFER: Final = ODRL + "transfer"
QUERY: Final = POLICY + "query"
COMPUTE: Final = POLICY + "compute"

REPRODUCE: Final = ODRL + "reproduce"

SERVED: Final = (QUERY, COMPUTE, REPRODUCE)
"""What a participant can do here: everything that a permission can open."""

RAW: Final = (REPRODUCE, ODRL + "extract", ODRL + "copy")
"""What handing out a data file as it is amounts to: each of these has to be permitted."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a vocabulary.

    Attributes:
        included_in: Absolute IRI of the action that it is a part of, or, for a
            deprecated action, that replaced it; None at the top.
        label: What it is called, in German and English.
    """

    included_in: str | None
    label: LanguageMap


def _action(included_in: str | None, de: str, en: str) -> Action:
    return Action(included_in, {"de": de, "en": en})


_ODRL_ACTIONS: Final[Mapping[str, tuple[str | None, str, str]]] = {
    "use": (None, "Nutzen", "use"),
    "transfer": (None, "Eigentum übertragen", "transfer ownership"),
    "give": ("transfer", "Verschenken", "give away"),
    "sell": ("transfer", "Verkaufen", "sell"),
    "acceptTracking": ("use", "Nachverfolgung hinnehmen", "accept tracking"),
    "aggregate": ("use", "In eine Sammlung aufnehmen", "aggregate"),
    "annotate": ("use", "Mit Anmerkungen versehen", "annotate"),
    "anonymize": ("use", "Anonymisieren", "anonymise"),
    "archive": ("use", "Archivieren", "archive"),
    "attribute": ("use", "Quelle nennen", "attribute"),
    "compensate": ("use", "Vergüten", "compensate"),
    "concurrentUse": ("use", "Gleichzeitig nutzen", "use concurrently"),
    "delete": ("use", "Löschen", "delete"),
    "derive": ("use", "Ableiten", "derive"),
    "digitize": ("use", "Digitalisieren", "digitise"),
    "display": ("play", "Anzeigen", "display"),
    "distribute": ("use", "An Dritte weitergeben", "distribute"),
    "ensureExclusivity": ("use", "Ausschließlichkeit sichern", "ensure exclusivity"),
    "execute": ("use", "Ausführen", "execute"),
    "extract": ("reproduce", "Auszüge entnehmen", "extract"),
    "grantUse": ("use", "Nutzung einräumen", "grant use"),
    "include": ("use", "Beifügen", "include"),
    "index": ("use", "In ein Verzeichnis aufnehmen", "index"),
    "inform": ("use", "Benachrichtigen", "inform"),
    "install": ("use", "Installieren", "install"),
    "modify": ("use", "Ändern", "modify"),
    "move": ("use", "Verschieben", "move"),
    "nextPolicy": ("use", "Folgeregeln weitergeben", "pass on a policy"),
    "obtainConsent": ("use", "Einwilligung einholen", "obtain consent"),
    "play": ("use", "Abspielen", "play"),
    "present": ("use", "Öffentlich aufführen", "present"),
    "print": ("use", "Drucken", "print"),
    "read": ("use", "Lesen", "read"),
    "reproduce": ("use", "Rohdaten kopieren", "copy raw data"),
    "reviewPolicy": ("use", "Regeln prüfen", "review the policy"),
    "stream": ("use", "Übertragen", "stream"),
    "synchronize": ("use", "Synchronisieren", "synchronise"),
    "textToSpeech": ("use", "Vorlesen", "read out"),
    "transform": ("use", "Umwandeln", "transform"),
    "translate": ("use", "Übersetzen", "translate"),
    "uninstall": ("use", "Deinstallieren", "uninstall"),
    "watermark": ("use", "Mit Wasserzeichen versehen", "watermark"),
    # Deprecated; where ODRL names an exact match, that stands for the parent.
    "append": ("modify", "Anhängen", "append"),
    "appendTo": ("modify", "Anhängen an", "append to"),
    "copy": ("reproduce", "Kopieren", "copy"),
    "export": ("transform", "Exportieren", "export"),
    "lease": (None, "Vermieten", "lease"),
    "lend": (None, "Verleihen", "lend"),
    "license": ("grantUse", "Lizenzieren", "license"),
    "pay": ("compensate", "Bezahlen", "pay"),
    "preview": (None, "Vorschau zeigen", "preview"),
    "secondaryUse": (None, "Zweitnutzung", "secondary use"),
    "write": ("modify", "Schreiben", "write"),
    "writeTo": ("modify", "Schreiben in", "write to"),
}

_CREATIVE_COMMONS_ACTIONS: Final = (
    "Attribution",
    "CommericalUse",  # spelled so in the ODRL vocabulary
    "DerivativeWorks",
    "Distribution",
    "Notice",
    "Reproduction",
    "ShareAlike",
    "Sharing",
    "SourceCode",
)

ACTIONS: Final[Mapping[str, Action]] = {
    QUERY: _action(USE, "Abfragen", "query"),
    COMPUTE: _action(USE, "Berechnen", "compute"),
    **{
        ODRL + name: _action(parent and ODRL + parent, de, en)
        for name, (parent, de, en) in _ODRL_ACTIONS.items()
    },
    **{CREATIVE_COMMONS + name: _action(USE, name, name) for name in _CREATIVE_COMMONS_ACTIONS},
}
"""Every action that a policy may name, by absolute IRI."""


ANY_ACTION: Final = ODRL + "Action"
"""The class of all actions: what a rule without an action is about, where such a rule is read at all."""


def includes(wider: str, narrower: str, actions: Mapping[str, Action] = ACTIONS) -> bool:
    """Tell whether doing one action is doing another one, too.

    Args:
        wider: Absolute IRI of the action that a rule names.
        narrower: Absolute IRI of the action that is done.
        actions: The actions that are known.

    Returns:
        True for the same action and for each that is included in it, over any
        number of steps. An action that no vocabulary knows includes nothing
        and is included in nothing.
    """
    if wider == ANY_ACTION:
        return True
    step: str | None = narrower if narrower in actions else None
    while step is not None:
        if step == wider:
            return True
        step = actions[step].included_in if step in actions else None
    return False
