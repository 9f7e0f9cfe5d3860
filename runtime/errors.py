"""The one tree of errors that callers may catch.

MeterstreamError
├── ValidationError            the input does not fit
│   ├── InvalidInput
│   └── SchemaValidation
├── AuthenticationError        who are you?
│   ├── InvalidToken
│   └── ExpiredToken
├── AuthorizationError         not allowed
│   └── InsufficientPermissions
├── NotFoundError              no such thing, or it belongs to another tenant
├── ConflictError              the state has moved, or the name is taken
├── BusinessLogicError         understood, and refused by a rule
│   ├── InvalidStateTransition
│   └── PaymentFailed          the card or the bank said no, or asks for the customer
├── RateLimited                later
├── PayloadTooLarge            less at once
├── Unavailable                a store does not answer; transient: repeat
│   └── Transient              a store asked for the same work again (deadlock, lost connection)
├── RefusedToStart             a precondition of exactness does not hold; says the way out
└── InternalError              ours
    ├── DatabaseError
    ├── StripeAPIError         Stripe refuses what we sent, or who we are
    └── UnexpectedError

Drivers' errors are translated in `sinks/<store>` with `from exc`. HTTP numbers are decided in `api/http/errors.py`.
"""

from __future__ import annotations

from typing import Any


class MeterstreamError(Exception):
    """Base of every error we raise on purpose.

    `code` is the stable upper-case name that clients match on; `details` is JSON-ready and holds no secret.
    """

    code = "INTERNAL_ERROR"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code


class ValidationError(MeterstreamError):
    """The input does not fit; the message names the field and what would be right."""

    code = "VALIDATION_ERROR"


class InvalidInput(ValidationError):
    """A value is wrong."""

    code = "INVALID_INPUT"


class SchemaValidation(ValidationError):
    """The document's shape is wrong."""

    code = "SCHEMA_VALIDATION"


class AuthenticationError(MeterstreamError):
    """The caller is unknown."""

    code = "AUTHENTICATION_REQUIRED"


class InvalidToken(AuthenticationError):
    """The credential is malformed, unknown or revoked."""

    code = "INVALID_TOKEN"


class ExpiredToken(AuthenticationError):
    """The credential was good once."""

    code = "EXPIRED_TOKEN"


class AuthorizationError(MeterstreamError):
    """The caller is known and may not do this."""

    code = "FORBIDDEN"


class InsufficientPermissions(AuthorizationError):
    """The credential lacks a scope; `details.required` names it."""

    code = "INSUFFICIENT_PERMISSIONS"


class NotFoundError(MeterstreamError):
    """No such thing, or it belongs to another tenant: callers cannot tell which."""

    code = "NOT_FOUND"


class ConflictError(MeterstreamError):
    """The name is taken, or the state has moved since it was read."""

    code = "CONFLICT"


class BusinessLogicError(MeterstreamError):
    """Understood, and refused by a rule of the product."""

    code = "UNPROCESSABLE"


class InvalidStateTransition(BusinessLogicError):
    """The thing is in a state from which this is not allowed; `details.allowed` lists what is."""

    code = "INVALID_STATE_TRANSITION"


class PaymentFailed(BusinessLogicError):
    """No money moved; `details.decline_code` says why, where the bank does."""

    code = "PAYMENT_FAILED"


class RateLimited(MeterstreamError):
    """Too much at once; `details.retry_after_s` says when to come back."""

    code = "RATE_LIMITED"


class PayloadTooLarge(MeterstreamError):
    """More than a request may hold; `details.limit` says how much may."""

    code = "PAYLOAD_TOO_LARGE"


class Unavailable(MeterstreamError):
    """A store does not answer. Repeating the same call is safe."""

    code = "UNAVAILABLE"


class Transient(Unavailable):
    """A store asked for the same work again: deadlock, serialization failure, lost connection."""


class RefusedToStart(MeterstreamError):
    """A precondition of exact counting does not hold; the message says which, and the way out."""

    code = "REFUSED_TO_START"


class InternalError(MeterstreamError):
    """Ours: nothing the caller can mend."""


class DatabaseError(InternalError):
    """A store refused a statement that we wrote."""

    code = "DATABASE_ERROR"


class StripeAPIError(InternalError):
    """Stripe refused a call of ours for a reason that the caller cannot mend, or answered nonsense."""

    code = "STRIPE_API_ERROR"


class UnexpectedError(InternalError):
    """A bug."""

    code = "UNEXPECTED_ERROR"
