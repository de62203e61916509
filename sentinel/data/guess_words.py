"""What names and words in tables of payments usually mean: the vocabulary of the guesses."""

from __future__ import annotations

import re
from typing import Final, Literal

Role = Literal[
    "transaction_id", "event_timestamp", "recorded_at", "customer_id", "merchant_id", "amount", "is_fraud",
    "label_available_at",
]  # fmt: skip

# Of a name in the form tx_fraud_scenario; the first list names the role outright, the second may mean it.
_NAMES: Final[dict[Role, tuple[str, str]]] = {
    "transaction_id": (
        r"(transaction|tx|trans|txn|trx|payment|order|auth|buchungs?|transaktions?)_?"
        r"(id|num|number|nummer|nr|no|uuid|key|ref|reference)",
        r"id|uuid|guid|key|index|row|row_id|rrn|arn|reference|unnamed_0|(.*_)?(transaction|payment)(_.*)?",
    ),
    "event_timestamp": (
        r"(transaction|tx|trans|txn|trx|event|payment|purchase|auth|authorization)_"
        r"(time|date|datetime|date_time|dt|ts|timestamp|at)|trans_date_trans_time|event_?timestamp",
        r"step|time|date|timestamp|datetime|date_time|ts|unix_time|epoch|created(_at)?|occurred(_at)?|zeit|datum|"
        r"(.*_)?(zeitpunkt|buchungszeit|zeitstempel|fecha|horodatage|transaction_time)|(.*_)?(timestamp|datetime)",
    ),
    "recorded_at": (
        r"(recorded|ingested|inserted|loaded|arrived|received)(_(at|on|time|date|ts|timestamp))?",
        r"(updated|modified|corrected|booked|posted|stored)_(at|on|time|date|ts|timestamp)",
    ),
    "customer_id": (
        r"(customer|client|cardholder|account|acct|acc|user|member|payer|sender|debtor|kunden?|cliente?)_?"
        r"(id|num|number|nr|no|key|uuid|ref)?|cc_num|card_?(id|num|number|no)|name_orig|kundennummer|pan|iban",
        r"card(_1)?|holder|person(_id)?|originator(_id)?|(.*_)?(customer|client|account|card)_?(id|no|num|number|nr)",
    ),
    "merchant_id": (
        r"(merchant|terminal|store|shop|vendor|payee|seller|beneficiary|creditor|recipient|haendler|händler|pos)_?"
        r"(id|num|number|nr|no|key|uuid|ref)?|name_dest",
        r"counterparty(_id)?|dest(ination)?(_id)?|receiver(_id)?|(.*_)?(merchant|terminal|shop|store)_?(id|no|num|nr)",
    ),
    "amount": (
        r"((transaction|tx|trans|txn|payment|purchase)_)?(amount|amt|betrag|montant|importe|importo|bedrag)"
        r"(_(minor|cents|eur|usd|gbp|chf))?",
        r"value|price|total|sum|summe|paid|umsatz|(.*_)?(amount|amt|betrag)",
    ),
    "is_fraud": (
        r"(is_?|tx_|transaction_|has_)?fraud(ulent)?(_(flag|label|ind|indicator|bool))?|is_?chargeback|betrug",
        r"class|label|target|y|outcome|chargeback|verdict|(.*_)?(fraud|label|betrug)(_.*)?|disposition|status_fraud",
    ),
    "label_available_at": (
        r"(label|fraud|chargeback|dispute)_(available|known|reported|confirmed|set|arrived|received)?_?"
        r"(at|on|time|date|ts|timestamp)|labell?ed_(at|on)",
        r"(reported|confirmed|investigated|resolved|decided|known|disputed)_(at|on|time|date|ts|timestamp)|"
        r"(report|confirmation|chargeback)_(time|date|ts|timestamp)",
    ),
}  # fmt: skip

KEYLIKE: Final = re.compile(
    r"(.*_)?(device|ip|ip_address|email|e_mail|phone|msisdn|card|account|acct|iban|session|fingerprint|terminal|"
    r"merchant|customer|beneficiary|name_orig|name_dest|cookie|user)(_?(id|no|num|number|nr|hash|key|\d))?"
)
TELLS_THE_LABEL: Final = re.compile(r"(.*_)?(fraud|fraudulent|chargeback|dispute|disputed|scenario|label|betrug)(_.*)?")
PERSONAL: Final = re.compile(r"(.*_)?(first|last|first_name|last_name|surname|street|street_address|dob|birthday|ssn)")
CODED: Final = re.compile(
    r"(.*_)?(code|mcc|zip|plz|postcode|bin|category|cat|type|kind|class|id|flag|is|has)(_.*|\d*)?"
)
CURRENCY: Final = re.compile(r"(.*_)?(currency|ccy|waehrung|währung)(_.*)?")
CENTS: Final = re.compile(r"(.*_)?(minor|cents|pennies|pence)(_.*)?")

FRAUD: Final = (
    "1", "true", "t", "yes", "y", "fraud", "fraudulent", "confirmed fraud", "confirmed_fraud", "bad", "chargeback",
    "positive", "ja", "oui", "si", "betrug", "fraude", "f",
)  # fmt: skip
GENUINE: Final = (
    "0", "false", "no", "n", "genuine", "legit", "legitimate", "good", "ok", "normal", "clean", "valid", "non-fraud",
    "nonfraud", "non_fraud", "not fraud", "not_fraud", "negative", "nein", "non", "real", "approved", "none", "g",
)  # fmt: skip
UNKNOWN: Final = (
    "unknown", "?", "na", "n/a", "nan", "null", "pending", "open", "undetermined", "unlabeled", "unlabelled", "-1",
    "unconfirmed", "in review", "in_review", "review", "unbekannt", "inconnu", "-",
)  # fmt: skip
MISSING: Final = ("null", "none", "nan", "n/a", "na", "#n/a", "-", "?")


def plain_name(name: str) -> str:
    """TX_FRAUD_SCENARIO, isFraud and card1 as tx_fraud_scenario, is_fraud and card_1."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)", "_", name.strip())
    return re.sub(r"[\W_]+", "_", parted).strip("_").lower()


def name_fits(name: str, role: Role) -> int:
    """2: the name says so, 1: it may, 0: it does not."""
    plain = plain_name(name)
    sure, maybe = _NAMES[role]
    return 2 if re.fullmatch(sure, plain) else 1 if re.fullmatch(maybe, plain) else 0


def label_meaning(word: str) -> Literal["fraud", "genuine", "unknown"] | None:
    """Numbers count without zero decimals, as ingestion reads them."""
    plain = re.sub(r"^(-?\d+)\.0+$", r"\1", word.strip().lower())
    if plain in FRAUD:
        return "fraud"
    if plain in GENUINE:
        return "genuine"
    return "unknown" if plain in UNKNOWN or not plain else None
