"""What can go wrong with a governed query, as sentences that may leave the house.

No sentence here repeats the client's text, a value or an engine's message:
each of them can carry data.
"""

from types import MappingProxyType
from typing import Final

from policies.model import LanguageMap
from schemas.errors import WordedError


class QueryError(WordedError):
    """Base of every error of a governed query."""

    german = "Die Abfrage konnte nicht beantwortet werden"


class QueryRefusedError(QueryError):
    """The statement asks for something that a governed query may not ask for.

    Attributes:
        code: Short stable name of the reason, such as `row-level`.
        reason: The reason and its remedy, per language.
    """

    def __init__(self, code: str, reason: LanguageMap) -> None:
        super().__init__(reason["en"])
        self.code = code
        self.reason = reason


class PartialsInvalidError(QueryError):
    """A site's partial answer does not have the shape that the plan asks for."""


class QueryFailedError(QueryError):
    """The engine could not answer; the sentence says no more than what may be known outside."""


class EngineFailedError(QueryFailedError):
    """The engine failed for a reason that only the log of its owner may tell."""


class QueryTimeoutError(QueryFailedError):
    """The engine did not answer in time and was stopped."""


class DataUnreadableError(QueryError):
    """A data file cannot be read.

    The sentence names the file and the cause. It is meant for the file's owner:
    a cause can quote a value, so it never goes to a counterparty.
    """

    german = "Die Daten können nicht gelesen werden"

    @classmethod
    def for_counterparties(cls) -> "DataUnreadableError":
        """The error without its cause, as a counterparty may be told."""
        return cls(DATA_UNREADABLE["en"], DATA_UNREADABLE["de"])


DATA_UNREADABLE: Final[LanguageMap] = {
    "de": "Der Anbieter konnte seine Daten nicht lesen. Die Nutzung wurde nicht gezählt.",
    "en": "The provider could not read its data. The use was not counted.",
}
"""What a counterparty is told about data that cannot be read."""


_REASONS: dict[str, tuple[str, str]] = {
    "empty": (
        "Die Abfrage ist leer. Bitte senden Sie eine SELECT-Anweisung.",
        "The statement is empty. Send one SELECT statement.",
    ),
    "too-long": (
        "Die Abfrage ist zu lang. Erlaubt sind 8 Kilobyte.",
        "The statement is too long. At most 8 kilobytes are allowed.",
    ),
    "too-deep": (
        "Die Abfrage ist zu tief geschachtelt. Bitte verwenden Sie weniger Klammern.",
        "The statement is nested too deeply. Use fewer parentheses.",
    ),
    "too-complex": (
        "Die Abfrage hat zu viele Bedingungen oder Spalten. Bitte teilen Sie sie auf.",
        "The statement has too many conditions or columns. Split it.",
    ),
    "syntax": (
        (
            "Die Abfrage enthält etwas, das hier nicht erlaubt ist. Erlaubt ist: SELECT mit Gruppierung "
            "und Kennzahlen, FROM, WHERE, GROUP BY, ORDER BY, LIMIT."
        ),
        (
            "The statement contains something that is not allowed here. Allowed are SELECT with groups "
            "and aggregates, FROM, WHERE, GROUP BY, ORDER BY and LIMIT."
        ),
    ),
    "not-a-select": (
        "Erlaubt sind nur SELECT-Anweisungen. Die Anweisung muss mit SELECT beginnen.",
        "Only SELECT statements are allowed. The statement must begin with SELECT.",
    ),
    "one-statement": (
        "Erlaubt ist genau eine Anweisung. Bitte senden Sie weitere Anweisungen einzeln.",
        "Exactly one statement is allowed. Send further statements one by one.",
    ),
    "row-level": (
        (
            "Zeilenweise Abfragen sind nicht erlaubt. Bitte fragen Sie Kennzahlen über Gruppen ab, "
            "zum Beispiel avg(…) mit GROUP BY."
        ),
        "Row-level queries are not allowed. Ask for aggregates over groups, such as avg(…) with GROUP BY.",
    ),
    "unknown-table": (
        "Die Abfrage darf nur die vereinbarte Tabelle lesen. Bitte nennen Sie diese nach FROM.",
        "The statement may read only the agreed table. Name it after FROM.",
    ),
    "no-table": (
        "Die Abfrage nennt keine Tabelle. Bitte nennen Sie die vereinbarte Tabelle nach FROM.",
        "The statement names no table. Name the agreed table after FROM.",
    ),
    "no-output": (
        "Die Abfrage fragt nach nichts. Bitte nennen Sie nach SELECT Kennzahlen wie count(*).",
        "The statement asks for nothing. Name aggregates such as count(*) after SELECT.",
    ),
    "column-alias": (
        "Spalten dürfen nach FROM nicht umbenannt werden. Bitte verwenden Sie die Spaltennamen der Tabelle.",
        "Columns must not be renamed after FROM. Use the column names of the table.",
    ),
    "unknown-column": (
        (
            "Eine Spalte der Abfrage gibt es in der vereinbarten Tabelle nicht. "
            "Den Spaltenplan finden Sie im Katalog."
        ),
        "A column of the statement does not exist in the agreed table. The catalog lists its columns.",
    ),
    "column-role": (
        (
            "Gruppieren und Filtern geht nur nach Merkmalen und Zeitangaben, nicht nach Messwerten "
            "und nicht nach der Spalte, die eine Einheit benennt."
        ),
        (
            "Only dimensions and times can be grouped or filtered by, not measures and not the column "
            "that names a unit."
        ),
    ),
    "aggregate-column": (
        "Diese Kennzahl ist nur für Messwerte erlaubt.",
        "This aggregate is allowed for measures only.",
    ),
    "extreme-not-released": (
        (
            "Höchst- und Tiefstwerte dieser Spalte werden nicht freigegeben. "
            "Bitte verwenden Sie Mittelwert oder Standardabweichung."
        ),
        "Extremes of this column are not released. Use the mean or the standard deviation.",
    ),
    "function-not-allowed": (
        (
            "Die Abfrage verwendet eine Funktion, die nicht erlaubt ist. Erlaubt sind count(*), sum, avg, "
            "var_samp, stddev_samp, min, max, hour, dayofweek, month, year, date_trunc('day' oder 'month')."
        ),
        (
            "The statement uses a function that is not allowed. Allowed are count(*), sum, avg, var_samp, "
            "stddev_samp, min, max, hour, dayofweek, month, year and date_trunc('day' or 'month')."
        ),
    ),
    "not-grouped": (
        "Jedes ausgegebene Merkmal muss auch unter GROUP BY stehen. GROUP BY ALL genügt.",
        "Every dimension in the output must also stand under GROUP BY. GROUP BY ALL is enough.",
    ),
    "group-by": (
        "GROUP BY darf nur Merkmale, Zeitangaben, deren Namen oder deren Nummern in der Ausgabe enthalten.",
        "GROUP BY may contain only dimensions, times, their names or their numbers in the output.",
    ),
    "order-by": (
        "Sortiert werden kann nur nach Spalten der Ausgabe.",
        "Only columns of the output can be ordered by.",
    ),
    "limit": (
        "LIMIT braucht eine einfache ganze Zahl bis 1 000 000.",
        "LIMIT needs a plain whole number of at most 1,000,000.",
    ),
    "filter": (
        "WHERE darf nur Merkmale und Zeitangaben mit festen Werten vergleichen.",
        "WHERE may only compare dimensions and times with fixed values.",
    ),
    "literal": (
        "Ein Wert der Bedingung passt nicht zu seiner Spalte. Bitte prüfen Sie Typ und Schreibweise.",
        "A value of the condition does not fit its column. Check its type and spelling.",
    ),
    "name": (
        (
            "Namen der Ausgabe bestehen aus Buchstaben ohne Umlaute, Ziffern und Unterstrichen "
            "und sind eindeutig. Die Namen sites und status sind vergeben."
        ),
        (
            "Output names consist of the letters a to z, digits and underscores and differ from each other. "
            "The names sites and status are taken."
        ),
    ),
    "ambiguous-name": (
        "Ein Name der Ausgabe ist zugleich der Name einer anderen Spalte. Bitte wählen Sie einen anderen.",
        "An output name is also the name of another column. Choose another one.",
    ),
    "subquery": ("Unterabfragen sind nicht erlaubt.", "Subqueries are not allowed."),
    "join": (
        "Verknüpfungen mehrerer Tabellen sind nicht erlaubt.",
        "Joins of several tables are not allowed.",
    ),
    "common-table-expression": ("WITH ist nicht erlaubt.", "WITH is not allowed."),
    "set-operation": (
        "UNION, EXCEPT und INTERSECT sind nicht erlaubt.",
        "UNION, EXCEPT and INTERSECT are not allowed.",
    ),
    "window": ("Fensterfunktionen sind nicht erlaubt.", "Window functions are not allowed."),
    "having": (
        "HAVING ist nicht erlaubt. Bitte filtern Sie das Ergebnis selbst.",
        "HAVING is not allowed. Filter the result yourself.",
    ),
    "distinct": ("DISTINCT ist nicht erlaubt.", "DISTINCT is not allowed."),
    "parameter": (
        "Platzhalter sind nicht erlaubt. Bitte schreiben Sie die Werte in die Abfrage.",
        "Placeholders are not allowed. Write the values into the statement.",
    ),
    "sample": ("Stichproben sind nicht erlaubt.", "Samples are not allowed."),
    "offset": (
        "OFFSET ist nicht erlaubt. Bitte verwenden Sie LIMIT.",
        "OFFSET is not allowed. Use LIMIT.",
    ),
    "group-unit-missing": (
        (
            "Die Einheit, nach der Gruppen gezählt werden, fehlt in der Tabelle. "
            "Der Anbieter muss sein Angebot berichtigen."
        ),
        "The unit by which groups are counted is missing here. The provider must correct the offer.",
    ),
    "extreme-unprotected": (
        (
            "Höchst- und Tiefstwerte brauchen eine Mindestgröße der Gruppen von zwei. "
            "Die Vereinbarung legt keine solche fest."
        ),
        "Extremes need groups of at least two. The agreement does not ask for that.",
    ),
    "overlap": (
        (
            "Zusammen mit früheren Antworten ließe sich aus dem Ergebnis auf zu wenige Einheiten schließen. "
            "Bitte fragen Sie dieselben Zeilen wie zuvor ab."
        ),
        (
            "Together with earlier answers the result could tell about too few units. "
            "Ask about the same rows as before."
        ),
    ),
    "overlap-too-fine": (
        (
            "Zusammen mit früheren Abfragen ist das Ergebnis zu fein, um es zu prüfen. "
            "Bitte gruppieren Sie gröber."
        ),
        "Together with earlier queries the result is too fine to be checked. Group more coarsely.",
    ),
    "noise-not-described": (
        (
            "Die Vereinbarung verlangt Rauschen, aber der Datensatz ist dafür nicht beschrieben. "
            "Der Anbieter muss sein Angebot berichtigen."
        ),
        (
            "The agreement asks for noise, but the dataset is not described for it. "
            "The provider must correct the offer."
        ),
    ),
    "noise-missing": (
        "Der Anbieter kann kein Rauschen ziehen. Er muss allmende[dp] installieren.",
        "The provider cannot draw noise. It must install allmende[dp].",
    ),
    "noise-aggregate": (
        "Mit Rauschen sind nur count(*), sum und avg erlaubt.",
        "With noise only count(*), sum and avg are allowed.",
    ),
    "noise-bounds": (
        "Für diesen Messwert sind keine Grenzen festgelegt, also kann er nicht verrauscht werden.",
        "No bounds are stated for this measure, so noise cannot protect it.",
    ),
    "noise-values": (
        (
            "Mit Rauschen wird nur nach festgelegten Werten gruppiert: nach Merkmalen, deren Werte der "
            "Anbieter angibt, und nach Stunde, Wochentag und Monat."
        ),
        (
            "With noise, groups have stated values only: those of dimensions that the provider lists, "
            "and hour, dayofweek and month."
        ),
    ),
    "noise-too-little-epsilon": (
        "Das vereinbarte Epsilon je Abfrage reicht für so viele Kennzahlen nicht. Fragen Sie weniger ab.",
        "The epsilon that was agreed per query is too little for so many aggregates. Ask for fewer.",
    ),
    "epsilon-agreement": (
        (
            "Das vereinbarte Epsilon für alle Abfragen zusammen ist verbraucht. "
            "Frühere Fragen werden weiter mit derselben Antwort beantwortet."
        ),
        (
            "The epsilon that was agreed for all queries together is spent. "
            "Earlier questions are still given the same answer."
        ),
    ),
    "epsilon-dataset": (
        (
            "Das Epsilon des Datensatzes ist von allen Partnern zusammen verbraucht. "
            "Frühere Fragen werden weiter mit derselben Antwort beantwortet."
        ),
        (
            "The epsilon of the dataset is spent by all partners together. "
            "Earlier questions are still given the same answer."
        ),
    ),
    "too-many-groups": (
        "Das Ergebnis hat mehr Gruppen, als die Vereinbarung zulässt. Bitte gruppieren Sie gröber.",
        "The result has more groups than the agreement allows. Group more coarsely.",
    ),
}

REFUSALS: "MappingProxyType[str, LanguageMap]" = MappingProxyType(
    {code: MappingProxyType({"de": german, "en": english}) for code, (german, english) in _REASONS.items()},
)
"""Every reason for which a statement is refused: code to sentence per language."""


def refusal(code: str) -> QueryRefusedError:
    """Give the error for a reason, to be raised where the reason is found."""
    return QueryRefusedError(code, REFUSALS[code])
