"""What Stripe answers when it refuses: an error object and its HTTP status."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

# As Stripe names them in "No such …"; the others go by their kind without its name space.
_SPOKEN = {
    "payment_method": "PaymentMethod",
    "setup_intent": "setupintent",
    "payment_intent": "payment_intent",
    "promotion_code": "promotion code",
    "test_helpers.test_clock": "test clock",
    "webhook_endpoint": "webhook endpoint",
    "checkout.session": "checkout.session",
    "billing_portal.configuration": "configuration",
}
_DOCUMENTED = "https://stripe.com/docs/error-codes/"


class StripeFailure(Exception):
    """A refusal. What the call did so far is undone, unless `keeps_effects` (a declined charge leaves its attempt)."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        extra: Obj | None = None,
        keeps_effects: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.decline_code = decline_code
        self.extra = extra or {}
        """Whole objects that go along: `payment_intent`, `payment_method`, `setup_intent`."""
        self.keeps_effects = keeps_effects

    def body(self, *, is_v2: bool = False) -> Obj:
        """Return the answer's body; errors of v2 name no parameter, and always have a code."""
        if is_v2:
            code = "not_found" if self.status == 404 else self.code or "invalid_request"
            return {"error": {"code": code, "message": self.message, "type": self.kind}}
        error: Obj = {"message": self.message, "type": self.kind}
        if self.code is not None:
            error |= {"code": self.code, "doc_url": _DOCUMENTED + self.code.replace("_", "-")}
        if self.param is not None:
            error["param"] = self.param
        if self.decline_code is not None:
            error["decline_code"] = self.decline_code
        return {"error": error | self.extra}


def resource_missing(kind: str, identifier: str, param: str = "id") -> StripeFailure:
    """Return "No such …": 404 where the id was in the path (`param` is "id"), 400 where a parameter named it."""
    spoken = _SPOKEN.get(kind, kind.rpartition(".")[2])
    return StripeFailure(
        f"No such {spoken}: '{identifier}'",
        status=404 if param == "id" else 400,
        code="resource_missing",
        param=param,
    )


def invalid_parameter(param: str, message: str, code: str | None = None) -> StripeFailure:
    """Return a refusal of one parameter's value."""
    return StripeFailure(message, code=code, param=param)


def missing_parameter(param: str) -> StripeFailure:
    """Return the refusal of a call that lacks a parameter."""
    return StripeFailure(f"Missing required param: {param}.", code="parameter_missing", param=param)


def card_declined(
    message: str, code: str, decline_code: str | None, *, extra: Obj | None = None, keeps_effects: bool = True
) -> StripeFailure:
    """Return a 402: the bank said no."""
    return StripeFailure(
        message,
        status=402,
        kind="card_error",
        code=code,
        decline_code=decline_code,
        extra=extra,
        keeps_effects=keeps_effects,
    )
