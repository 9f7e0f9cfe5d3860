"""Tokens of people who signed in: JWTs with `sub`, `email`, `aud`, `exp`, as Supabase Auth and others make them.

Which algorithm checks a token is decided by the configured source, never by the token's own header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from api.access.jwks import KeySet
from runtime.errors import ExpiredToken, InvalidToken, RefusedToStart
from runtime.settings import IdentitySettings

_HMAC: Final = "HS256"
_MAX_CHARS: Final = 16_384
_MAX_SUBJECT: Final = 256
_MAX_EMAIL: Final = 320
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Of keys that Supabase's projects hand to programs: they stand for nobody.
_NOBODY: Final = frozenset({"anon", "service_role"})


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token is about."""

    user_id: str
    email: str | None
    """Only where `email_verified` is true or not said."""


class TokenReader:
    """Checks tokens with the configured source."""

    def __init__(self, settings: IdentitySettings, *, keys: KeySet | None = None) -> None:
        self._settings = settings
        self._keys = keys or (None if settings.jwks_url is None else KeySet(settings.jwks_url))

    async def read(self, token: str) -> Person:
        """Return whom a token is about.

        Raises: ExpiredToken for one that was good, InvalidToken for any other that is not, Unavailable when the
        issuer's keys cannot be had.
        """
        if len(token) > _MAX_CHARS:
            raise InvalidToken("This token is too long.")
        key, algorithm = await self._key(token)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.ExpiredSignatureError as exc:
            raise ExpiredToken("This token has expired: sign in again.") from exc
        except (jwt.PyJWTError, ValueError) as exc:  # ValueError: what is no text, such as a lone surrogate
            raise InvalidToken(f"This token is not valid: {_reason(exc)}.") from exc
        return _person(claims)

    async def _key(self, token: str) -> tuple[Any, str]:
        if self._settings.jwt_secret is not None:
            return self._settings.jwt_secret.get_secret_value(), _HMAC
        if self._keys is None:
            raise InvalidToken(
                "Tokens of people are not accepted here: whoever runs this server has to set"
                " METERSTREAM_IDENTITY__JWKS_URL or METERSTREAM_IDENTITY__JWT_SECRET."
            )
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError) as exc:
            raise InvalidToken("This is neither an API key nor a token.") from exc
        key = await self._keys.find(key_id if isinstance(key_id, str) else None)
        return key.key, str(key.algorithm_name)


def make_token(
    settings: IdentitySettings, *, user_id: str, email: str | None, lifetime: timedelta, now: datetime | None = None
) -> str:
    """Return a token for development, signed with the configured secret. Raises: RefusedToStart without one."""
    if settings.jwt_secret is None:
        raise RefusedToStart(
            "There is no secret to sign with: set METERSTREAM_IDENTITY__JWT_SECRET, or start the embedded stack."
        )
    issued_at = now or datetime.now(UTC)
    claims: dict[str, Any] = {
        "sub": user_id,
        "role": "authenticated",
        "aud": settings.audience,
        "iat": issued_at,
        "exp": issued_at + lifetime,
    }
    if email is not None:
        claims["email"] = email
    if settings.issuer is not None:
        claims["iss"] = settings.issuer
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), algorithm=_HMAC)


def _person(claims: dict[str, Any]) -> Person:
    subject, email = claims["sub"], claims.get("email")
    if not 1 <= len(subject) <= _MAX_SUBJECT or _CONTROL.search(subject):
        raise InvalidToken(f"The token's subject must have 1 to {_MAX_SUBJECT} characters, none of control.")
    if claims.get("role") in _NOBODY:
        raise InvalidToken("This token stands for a program and nobody in particular: sign in as a person.")
    usable = isinstance(email, str) and 3 <= len(email) <= _MAX_EMAIL and not _CONTROL.search(email)
    # An issuer that says anything but true does not vouch for the address.
    return Person(subject, email if usable and claims.get("email_verified", True) is True else None)


def _reason(exc: Exception) -> str:
    """Say what is wrong without repeating what was sent."""
    match exc:
        case jwt.MissingRequiredClaimError():
            return f"it lacks the claim {exc.claim}"
        case jwt.InvalidAudienceError():
            return "it is meant for another audience"
        case jwt.InvalidIssuerError():
            return "it comes from another issuer"
        case jwt.ImmatureSignatureError():
            return "it is not valid yet"
        case jwt.InvalidSignatureError() | jwt.InvalidAlgorithmError():
            return "its signature is not one that we trust"
        case _:
            return "it cannot be read"
