"""The sentences that people read: what each comparison says in a permission, as data."""

from collections.abc import Mapping
from typing import Final

from policies.catena_x import (
    BUSINESS_PARTNER_GROUP,
    BUSINESS_PARTNER_NUMBER,
    CATENA_X_MEMBERSHIP,
    FRAMEWORK_AGREEMENT,
    USAGE_END_DATE,
    USAGE_END_DAYS,
)
from policies.left_operands import (
    ALGORITHM_DIGEST,
    ALLOWED_COLUMN,
    ASSIGNEE,
    COLUMN_MASK,
    CONSENT,
    CONTRIBUTION_BOUND,
    COUNT,
    DATE_TIME,
    DELAY_PERIOD,
    DELTA_TOTAL,
    DENIED_COLUMN,
    ELAPSED_TIME,
    EPSILON_PER_QUERY,
    EPSILON_TOTAL,
    EVENT,
    FEDERATED_MIN_PARTICIPANTS,
    GROUP_UNIT,
    MAX_CELL_DOMINANCE,
    MAX_RESULT_ROWS,
    MEMBERSHIP,
    METERED_TIME,
    MIN_GROUP_ROWS,
    MIN_GROUP_SIZE,
    ORGANISATION,
    OUTPUT_KIND,
    P_PERCENT,
    PURPOSE,
    QUERY_CLASS,
    RECIPIENT,
    ROLE,
    ROUNDING_BASE,
    ROW_FILTER,
    SEAT,
    SECURITY_LEVEL,
    SPATIAL,
    TIME_INTERVAL,
)
from policies.model import Operator

_EQ, _ANY, _NONE = Operator.EQ, Operator.IS_ANY_OF, Operator.IS_NONE_OF

PERMISSION_SENTENCES: Final[Mapping[tuple[str, Operator], tuple[str, str]]] = {
    (PURPOSE, _EQ): ("Nur für den Zweck {values}.", "Only for the purpose {values}."),
    (PURPOSE, Operator.IS_A): (
        "Nur für den Zweck {values} und was darunter fällt.",
        "Only for the purpose {values} and what falls under it.",
    ),
    (PURPOSE, _ANY): (
        "Nur für einen dieser Zwecke und was darunter fällt: {values}.",
        "Only for one of these purposes and what falls under it: {values}.",
    ),
    (PURPOSE, _NONE): (
        "Für keinen dieser Zwecke und nichts, was darunter fällt: {values}.",
        "For none of these purposes and nothing that falls under them: {values}.",
    ),
    (DATE_TIME, Operator.GTEQ): ("Ab {values}.", "From {values}."),
    (DATE_TIME, Operator.GT): ("Nach {values}.", "After {values}."),
    (DATE_TIME, Operator.LTEQ): ("Bis {values}.", "Until {values}."),
    (DATE_TIME, Operator.LT): ("Vor {values}.", "Before {values}."),
    (COUNT, Operator.LTEQ): ("Höchstens {values} Nutzungen.", "At most {values} uses."),
    (COUNT, Operator.LT): ("Weniger als {values} Nutzungen.", "Fewer than {values} uses."),
    (ASSIGNEE, _EQ): ("Nur für {values}.", "Only for {values}."),
    (ASSIGNEE, _ANY): (
        "Nur für einen dieser Partner: {values}.",
        "Only for one of these partners: {values}.",
    ),
    (ASSIGNEE, _NONE): (
        "Für keinen dieser Partner: {values}.",
        "For none of these partners: {values}.",
    ),
    (ALGORITHM_DIGEST, _EQ): (
        "Nur das Programm mit der Prüfsumme {values} (SHA-256).",
        "Only the program with the digest {values} (SHA-256).",
    ),
    (ALGORITHM_DIGEST, _ANY): (
        "Nur Programme mit einer dieser Prüfsummen (SHA-256): {values}.",
        "Only programs with one of these digests (SHA-256): {values}.",
    ),
    (QUERY_CLASS, _EQ): (
        "Eine Abfrage liefert nur zusammengefasste Werte, keine einzelnen Zeilen.",
        "A query returns aggregated values only, no single rows.",
    ),
    (GROUP_UNIT, _EQ): (
        "Die Größe einer Gruppe ist die Zahl der verschiedenen Werte der Spalte {values}.",
        "The size of a group is the number of distinct values of the column {values}.",
    ),
    (MIN_GROUP_SIZE, Operator.GTEQ): (
        "Herausgegeben werden nur Gruppen der Größe {values} oder mehr.",
        "Only groups of size {values} or more are released.",
    ),
    (MIN_GROUP_ROWS, Operator.GTEQ): (
        "Herausgegeben werden nur Gruppen aus mindestens {values} Zeilen.",
        "Only groups of at least {values} rows are released.",
    ),
    (MAX_RESULT_ROWS, Operator.LTEQ): (
        "Ein Ergebnis hat höchstens {values} Zeilen.",
        "A result has at most {values} rows.",
    ),
    (ALLOWED_COLUMN, _EQ): ("Nur die Spalte {values}.", "Only the column {values}."),
    (ALLOWED_COLUMN, _ANY): ("Nur diese Spalten: {values}.", "Only these columns: {values}."),
    (DENIED_COLUMN, _EQ): ("Nicht die Spalte {values}.", "Not the column {values}."),
    (DENIED_COLUMN, _ANY): ("Keine dieser Spalten: {values}.", "None of these columns: {values}."),
    (COLUMN_MASK, _EQ): ("Verfremdet wird: {values}.", "Masked is: {values}."),
    (COLUMN_MASK, Operator.IS_ALL_OF): ("Verfremdet wird: {values}.", "Masked is: {values}."),
    (ROW_FILTER, _EQ): (
        "Nur Zeilen, die der Filter {values} des Anbieters durchlässt.",
        "Only rows that the provider's filter {values} lets through.",
    ),
    (ROW_FILTER, Operator.IS_ALL_OF): (
        "Nur Zeilen, die jeder dieser Filter des Anbieters durchlässt: {values}.",
        "Only rows that each of these filters of the provider lets through: {values}.",
    ),
    (CONSENT, _EQ): (
        "Nur Zeilen von denen, die im Register {values} eingewilligt haben.",
        "Only rows of those who have consented in the register {values}.",
    ),
    (CONSENT, Operator.IS_ALL_OF): (
        "Nur Zeilen von denen, die in jedem dieser Register eingewilligt haben: {values}.",
        "Only rows of those who have consented in each of these registers: {values}.",
    ),
    (MAX_CELL_DOMINANCE, _EQ): (
        "Herausgegeben werden nur Gruppen, in denen wenige nicht fast alles ausmachen: {values}.",
        "Only groups are released in which few do not make up almost everything: {values}.",
    ),
    (P_PERCENT, Operator.GTEQ): (
        "Niemand soll den größten Beitrag einer Gruppe auf {values} Prozent genau schätzen können.",
        "Nobody shall be able to estimate the largest contribution of a group to within {values} percent.",
    ),
    (ROUNDING_BASE, _EQ): (
        "Anzahlen werden auf Vielfache von {values} gerundet, Mittelwerte auf drei Ziffern.",
        "Counts are rounded to multiples of {values}, means to three digits.",
    ),
    (EPSILON_PER_QUERY, Operator.LTEQ): (
        "Jede Abfrage wird verrauscht, mit Epsilon höchstens {values}.",
        "Every query gets noise, with epsilon at most {values}.",
    ),
    (EPSILON_TOTAL, Operator.LTEQ): (
        "Alle Abfragen zusammen verbrauchen höchstens Epsilon {values}.",
        "All queries together spend at most epsilon {values}.",
    ),
    (DELTA_TOTAL, Operator.LTEQ): (
        "Alle Abfragen zusammen verbrauchen höchstens Delta {values}.",
        "All queries together spend at most delta {values}.",
    ),
    (CONTRIBUTION_BOUND, Operator.LTEQ): (
        "Von jeder Einheit zählen höchstens {values} Zeilen.",
        "Of each unit, at most {values} rows count.",
    ),
    (FEDERATED_MIN_PARTICIPANTS, Operator.GTEQ): (
        "Ergebnisse mehrerer Anbieter werden nur gezeigt, wenn mindestens {values} beigetragen haben.",
        "Results of several providers are shown only if at least {values} have contributed.",
    ),
    (ELAPSED_TIME, Operator.LTEQ): (
        "Höchstens {values} lang, gerechnet ab Vertragsschluss.",
        "For at most {values} from the making of the agreement on.",
    ),
    (ELAPSED_TIME, Operator.LT): (
        "Weniger als {values} lang, gerechnet ab Vertragsschluss.",
        "For less than {values} from the making of the agreement on.",
    ),
    (DELAY_PERIOD, Operator.GTEQ): (
        "Frühestens {values} nach Vertragsschluss.",
        "At the earliest {values} after the agreement was made.",
    ),
    (DELAY_PERIOD, Operator.GT): (
        "Erst mehr als {values} nach Vertragsschluss.",
        "More than {values} after the agreement was made.",
    ),
    (TIME_INTERVAL, Operator.GTEQ): (
        "Zwischen zwei Nutzungen liegen mindestens {values}.",
        "At least {values} lie between two uses.",
    ),
    (TIME_INTERVAL, Operator.GT): (
        "Zwischen zwei Nutzungen liegen mehr als {values}.",
        "More than {values} lie between two uses.",
    ),
    (METERED_TIME, Operator.LTEQ): (
        "Höchstens {values} Rechenzeit insgesamt.",
        "At most {values} of computing in total.",
    ),
    (RECIPIENT, _EQ): ("Das Ergebnis bekommt nur {values}.", "Only {values} gets the result."),
    (RECIPIENT, _ANY): (
        "Das Ergebnis bekommt nur einer von: {values}.",
        "Only one of these gets the result: {values}.",
    ),
    (RECIPIENT, _NONE): (
        "Das Ergebnis bekommt keiner von: {values}.",
        "None of these gets the result: {values}.",
    ),
    (SPATIAL, Operator.IS_PART_OF): ("Nur in {values}.", "Only in {values}."),
    (SPATIAL, _ANY): ("Nur in einem von: {values}.", "Only in one of: {values}."),
    (SPATIAL, _NONE): ("In keinem von: {values}.", "In none of: {values}."),
    (EVENT, _EQ): ("Nur während: {values}.", "Only during: {values}."),
    (EVENT, _ANY): ("Nur während eines von: {values}.", "Only during one of: {values}."),
    (EVENT, _NONE): ("Nicht während: {values}.", "Not during: {values}."),
    (ORGANISATION, _EQ): ("Nur für die Organisation {values}.", "Only for the organisation {values}."),
    (ORGANISATION, _ANY): (
        "Nur für eine dieser Organisationen: {values}.",
        "Only for one of these organisations: {values}.",
    ),
    (ORGANISATION, _NONE): (
        "Für keine dieser Organisationen: {values}.",
        "For none of these organisations: {values}.",
    ),
    (MEMBERSHIP, _EQ): ("Nur für Mitglieder von {values}.", "Only for members of {values}."),
    (MEMBERSHIP, _ANY): (
        "Nur für Mitglieder von mindestens einem von: {values}.",
        "Only for members of at least one of: {values}.",
    ),
    (MEMBERSHIP, Operator.IS_ALL_OF): (
        "Nur für Mitglieder von jedem von: {values}.",
        "Only for members of each of: {values}.",
    ),
    (MEMBERSHIP, _NONE): ("Nicht für Mitglieder von: {values}.", "Not for members of: {values}."),
    (ROLE, _EQ): ("Nur für Partner mit der Rolle {values}.", "Only for partners with the role {values}."),
    (ROLE, _ANY): (
        "Nur für Partner mit einer dieser Rollen: {values}.",
        "Only for partners with one of these roles: {values}.",
    ),
    (ROLE, Operator.IS_ALL_OF): (
        "Nur für Partner mit allen diesen Rollen: {values}.",
        "Only for partners with all of these roles: {values}.",
    ),
    (ROLE, _NONE): (
        "Nicht für Partner mit einer dieser Rollen: {values}.",
        "Not for partners with one of these roles: {values}.",
    ),
    (SECURITY_LEVEL, _EQ): (
        "Nur für Partner mit der Sicherheitsstufe {values}.",
        "Only for partners with the security level {values}.",
    ),
    (SECURITY_LEVEL, _ANY): (
        "Nur für Partner mit einer dieser Sicherheitsstufen: {values}.",
        "Only for partners with one of these security levels: {values}.",
    ),
    (SEAT, Operator.IS_PART_OF): (
        "Nur für Partner mit Sitz in {values}.",
        "Only for partners seated in {values}.",
    ),
    (SEAT, _EQ): ("Nur für Partner mit Sitz in {values}.", "Only for partners seated in {values}."),
    (SEAT, _ANY): (
        "Nur für Partner mit Sitz in einem von: {values}.",
        "Only for partners seated in one of: {values}.",
    ),
    (SEAT, _NONE): (
        "Nicht für Partner mit Sitz in einem von: {values}.",
        "Not for partners seated in one of: {values}.",
    ),
    (CATENA_X_MEMBERSHIP, _EQ): ("Nur für Mitglieder von Catena-X.", "Only for members of Catena-X."),
    (BUSINESS_PARTNER_NUMBER, _EQ): (
        "Nur für die Geschäftspartnernummer {values}.",
        "Only for the business partner number {values}.",
    ),
    (BUSINESS_PARTNER_NUMBER, _ANY): (
        "Nur für eine dieser Geschäftspartnernummern: {values}.",
        "Only for one of these business partner numbers: {values}.",
    ),
    (BUSINESS_PARTNER_NUMBER, _NONE): (
        "Für keine dieser Geschäftspartnernummern: {values}.",
        "For none of these business partner numbers: {values}.",
    ),
    (BUSINESS_PARTNER_GROUP, _EQ): (
        "Nur für Partner der Gruppe {values}.",
        "Only for partners of the group {values}.",
    ),
    (BUSINESS_PARTNER_GROUP, _ANY): (
        "Nur für Partner einer dieser Gruppen: {values}.",
        "Only for partners of one of these groups: {values}.",
    ),
    (BUSINESS_PARTNER_GROUP, _NONE): (
        "Für keine Partner dieser Gruppen: {values}.",
        "For no partners of these groups: {values}.",
    ),
    (FRAMEWORK_AGREEMENT, _EQ): (
        "Nur für Partner, die den Rahmenvertrag {values} unterschrieben haben.",
        "Only for partners that have signed the framework agreement {values}.",
    ),
    (USAGE_END_DATE, _EQ): ("Nutzung bis {values}.", "Use until {values}."),
    (USAGE_END_DAYS, _EQ): (
        "Nutzung {values} Tage lang, gerechnet ab Vertragsschluss.",
        "Use for {values} days from the making of the agreement on.",
    ),
    (OUTPUT_KIND, _EQ): ("Nur Ausgaben der Art {values}.", "Only outputs of the kind {values}."),
    (OUTPUT_KIND, _ANY): (
        "Nur Ausgaben dieser Arten: {values}.",
        "Only outputs of these kinds: {values}.",
    ),
}
"""What a comparison in a permission says, in German and English; `{values}` are its right operands."""
