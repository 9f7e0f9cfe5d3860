"""The currencies that Stripe takes money in, and what is said to others."""

from __future__ import annotations

from decimal import Decimal

from devstack.stripe_simulator.failures import invalid_parameter

_ALL = (
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp "
    "cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr "
    "isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn "
    "myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle "
    "sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw"
)
CURRENCIES = frozenset(_ALL.split())
_PLACES = {
    **dict.fromkeys(("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv"), 0),
    **dict.fromkeys(("xaf", "xof", "xpf"), 0),
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 3),
}


def check_currency(currency: str, param: str = "currency") -> str:
    """Return the currency in lower case. Raises: StripeFailure for an unknown one."""
    lower = currency.lower()
    if lower not in CURRENCIES:
        known = _ALL.replace(" ", ", ")
        message = f"Invalid currency: {currency[:20]}. Stripe currently supports these currencies: {known}"
        raise invalid_parameter(param, message)
    return lower


def shown(amount: int | Decimal, currency: str) -> str:
    """Return an amount of minor units, fractions of them too, as people read it."""
    places = _PLACES.get(currency, 2)
    major = abs(Decimal(amount)).scaleb(-places)
    # Unit prices may be fractions of a minor unit: all their places are shown.
    shortest = max(places, -int(major.normalize().as_tuple().exponent))
    symbol = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency, f"{currency.upper()} ")
    return f"{'−' if amount < 0 else ''}{symbol}{major:,.{shortest}f}"
