"""The currencies that Stripe charges in, and how many digits their minor units have.

Source: docs.stripe.com/currencies (presentment currencies, zero-decimal, three-decimal, special cases).
"""

from __future__ import annotations

from typing import Final

from runtime.errors import InvalidInput

_CODES: Final = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny
cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod
jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio
nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd
top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw
"""
CURRENCIES: Final = frozenset(_CODES.split())
"""Lower case, as Stripe writes them."""

_TWO_FOR_STRIPE: Final = frozenset({"isk", "ugx"})
"""Have no fractions any more, yet Stripe takes them with two decimals, which must be 00 (docs: special cases)."""

_ZERO: Final = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE: Final = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def read_currency(code: object, field: str = "currency") -> str:
    """Return the currency in lower case. Raises: InvalidInput."""
    if isinstance(code, str) and code.isascii() and code.lower() in CURRENCIES:
        return code.lower()
    shown = f"{field}: {repr(code)[:40]}"
    raise InvalidInput(
        f"{shown} is no currency that Stripe charges in; write an ISO code such as usd, eur or jpy",
        field=field,
    )


def decimals(currency: str) -> int:
    """Return how many digits of an amount in minor units are behind the point."""
    if currency in _ZERO:
        return 0
    return 3 if currency in _THREE else 2


def charge_step(currency: str) -> int:
    """Return what every charged amount must be a multiple of.

    Three-decimal currencies: the last digit must be 0. ISK and UGX: the last two (docs.stripe.com/currencies).
    """
    if currency in _THREE:
        return 10
    return 100 if currency in _TWO_FOR_STRIPE else 1
