from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from pydantic import SecretStr, ValidationError

from api.access.jwks import KeySet
from api.access.tokens import Person, TokenReader, make_token
from runtime.errors import ExpiredToken, InvalidToken, RefusedToStart, Unavailable
from runtime.settings import IdentitySettings

SECRET = "a secret of at least thirty-two characters"
SETTINGS = IdentitySettings(jwt_secret=SecretStr(SECRET))
HOUR = timedelta(hours=1)
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
URL = "https://issuer.test/jwks.json"


def claims(**changed: Any) -> dict[str, Any]:
    """Return claims as Supabase Auth makes them."""
    now = datetime.now(UTC)
    full = {
        "iss": "https://project.supabase.co/auth/v1",
        "sub": "0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e",
        "aud": "authenticated",
        "exp": now + HOUR,
        "iat": now,
        "email": "ada@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "role": "authenticated",
        "aal": "aal1",
        "session_id": "3f1c",
        "is_anonymous": False,
    } | changed
    return {name: value for name, value in full.items() if value is not None}


def signed(**changed: Any) -> str:
    return jwt.encode(claims(**changed), SECRET, algorithm="HS256")


def unsigned(header: dict[str, Any], signature: bytes = b"") -> str:
    """Return a token whose header says what it likes."""
    body = claims() | {"exp": 4_000_000_000, "iat": 1}
    parts = [json.dumps(header).encode(), json.dumps(body).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


async def test_a_token_of_supabase_is_read() -> None:
    person = await TokenReader(SETTINGS).read(signed())
    assert person == Person("0b6ff1c5-e0e8-494f-b3ac-4bd8a0ff0f4e", "ada@example.com")


async def test_a_development_token_is_read_and_expires() -> None:
    now = datetime.now(UTC)
    token = make_token(SETTINGS, user_id="u", email=None, lifetime=HOUR)
    assert await TokenReader(SETTINGS).read(token) == Person("u", None)
    old = make_token(SETTINGS, user_id="u", email=None, lifetime=HOUR, now=now - 2 * HOUR)
    with pytest.raises(ExpiredToken):
        await TokenReader(SETTINGS).read(old)
    with pytest.raises(RefusedToStart):
        make_token(IdentitySettings(), user_id="u", email=None, lifetime=HOUR)


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(claims(), SECRET + "!", algorithm="HS256"),
        jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        jwt.encode(claims(), RSA_KEY, algorithm="RS256"),
        unsigned({"alg": "none", "typ": "JWT"}),
        unsigned({"alg": "None"}),
        unsigned({"typ": "JWT"}),
        unsigned({"alg": "HS256"}, b"x" * 32),
        signed(aud="another"),
        signed(aud=None),
        signed(sub=None),
        signed(sub=""),
        signed(sub="x" * 257),
        signed(sub="nul\x00"),
        signed(exp=None),
        signed(exp="soon"),
        signed(nbf=datetime.now(UTC) + HOUR),
        signed(role="anon"),
        signed(role="service_role"),
        signed(email="x" * 20_000),
        "",
        "a.b",
        "a.b.c",
        "ünïcödé.b.c",
        "\ud800.b.c",
    ],
)
async def test_what_is_no_token_of_ours_is_invalid(token: str) -> None:
    with pytest.raises(InvalidToken):
        await TokenReader(SETTINGS).read(token)


async def test_expired_differs_from_invalid_and_clocks_may_be_apart() -> None:
    now = datetime.now(UTC)
    with pytest.raises(ExpiredToken):
        await TokenReader(SETTINGS).read(signed(exp=now - timedelta(minutes=1)))
    lenient = TokenReader(SETTINGS.model_copy(update={"leeway_s": 300.0}))
    assert (await lenient.read(signed(exp=now - timedelta(minutes=1)))).email == "ada@example.com"
    # Wrong comes before old: who forged it learns nothing.
    with pytest.raises(InvalidToken):
        await TokenReader(SETTINGS).read(jwt.encode(claims(exp=now - HOUR), SECRET + "!", algorithm="HS256"))


async def test_the_issuer_counts_if_it_is_set() -> None:
    reader = TokenReader(SETTINGS.model_copy(update={"issuer": "https://project.supabase.co/auth/v1"}))
    await reader.read(signed())
    with pytest.raises(InvalidToken):
        await reader.read(signed(iss="https://another.supabase.co/auth/v1"))


@pytest.mark.parametrize(
    ("changed", "email"),
    [
        ({}, "ada@example.com"),
        ({"email_verified": True}, "ada@example.com"),
        ({"email_verified": False}, None),
        ({"email_verified": "true"}, None),
        ({"email_verified": "false"}, None),
        ({"email_verified": 0}, None),
        ({"email_verified": 1}, None),
        ({"email": None}, None),
        ({"email": ""}, None),
        ({"email": 7}, None),
    ],
)
async def test_an_address_that_was_never_confirmed_is_none(changed: dict[str, Any], email: str | None) -> None:
    assert (await TokenReader(SETTINGS).read(signed(**changed))).email == email


async def test_without_a_source_no_token_is_accepted() -> None:
    with pytest.raises(InvalidToken):
        await TokenReader(IdentitySettings()).read(signed())


@pytest.mark.parametrize(
    "values",
    [
        {"jwt_secret": "short"},
        {"jwks_url": "http://issuer.test/jwks.json"},
        {"jwks_url": "http://127.0.0.1.evil.test/jwks.json"},
        {"jwt_secret": SECRET, "jwks_url": URL},
        {"jwt_secret": SECRET, "audience": ""},
    ],
)
def test_settings_that_weaken_the_check_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        IdentitySettings(**values)


class Issuer:
    """Serves a key set and counts how often it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys: Any = list(keys)
        self.status = 200
        self.asked = 0
        self.now_s = 0.0

    def answer(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(self.status, json={"keys": self.keys})

    def reader(self) -> TokenReader:
        keys = KeySet(URL, transport=httpx.MockTransport(self.answer), now=lambda: self.now_s)
        return TokenReader(IdentitySettings(jwks_url=URL), keys=keys)


def public(algorithm: Any, key: Any, **fields: Any) -> dict[str, Any]:
    return {**json.loads(algorithm.to_jwk(key.public_key())), **fields}


RSA_JWK = public(RSAAlgorithm, RSA_KEY, kid="rsa", use="sig", alg="RS256")
EC_JWK = public(ECAlgorithm, EC_KEY, kid="ec", use="sig")
ED_JWK = public(OKPAlgorithm, ED_KEY, kid="ed")


def by(key: Any, algorithm: str, key_id: str | None) -> str:
    return jwt.encode(claims(), key, algorithm=algorithm, headers={} if key_id is None else {"kid": key_id})


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"), [(RSA_KEY, "RS256", "rsa"), (EC_KEY, "ES256", "ec"), (ED_KEY, "EdDSA", "ed")]
)
async def test_published_keys_check_tokens(key: Any, algorithm: str, key_id: str) -> None:
    issuer = Issuer(RSA_JWK, EC_JWK, ED_JWK, {"kty": "unknown"}, {"kty": "RSA", "kid": "broken", "n": "!"})
    reader = issuer.reader()
    for _ in range(3):
        assert (await reader.read(by(key, algorithm, key_id))).email == "ada@example.com"
    assert issuer.asked == 1


async def test_the_header_chooses_no_algorithm() -> None:
    """The classic attack: the public key, which everybody knows, taken for the secret of HS256."""
    secret_of_nobody = {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()}
    reader = Issuer(RSA_JWK, secret_of_nobody).reader()

    head = unsigned({"alg": "HS256", "kid": "rsa"}).rpartition(".")[0]
    signature = hmac.new(RSA_PUBLIC_PEM, head.encode(), hashlib.sha256).digest()
    confused = f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    wrong = [
        confused,
        unsigned({"alg": "none", "kid": "rsa"}),
        by(RSA_KEY, "RS512", "rsa"),
        by(EC_KEY, "ES256", "rsa"),
        by(SECRET, "HS256", "oct"),
        by(SECRET, "HS256", "rsa"),
        by(RSA_KEY, "RS256", "unknown"),
        unsigned({"alg": "RS256", "kid": {"a": 1}}),
    ]
    for token in wrong:
        with pytest.raises(InvalidToken):
            await reader.read(token)


async def test_a_token_without_a_key_id_needs_an_only_key() -> None:
    assert (await Issuer(EC_JWK).reader().read(by(EC_KEY, "ES256", None))).email
    with pytest.raises(InvalidToken):
        await Issuer(EC_JWK, RSA_JWK).reader().read(by(EC_KEY, "ES256", None))


async def test_a_new_key_is_fetched_but_nonsense_does_not_hammer_the_issuer() -> None:
    issuer = Issuer(RSA_JWK)
    reader = issuer.reader()
    await reader.read(by(RSA_KEY, "RS256", "rsa"))
    issuer.keys = [EC_JWK]
    for _ in range(20):
        with pytest.raises(InvalidToken):
            await reader.read(by(EC_KEY, "ES256", "ec"))
    assert issuer.asked == 1
    issuer.now_s = 11.0
    await reader.read(by(EC_KEY, "ES256", "ec"))
    with pytest.raises(InvalidToken):  # withdrawn
        await reader.read(by(RSA_KEY, "RS256", "rsa"))
    assert issuer.asked == 2


async def test_keys_go_on_working_while_the_issuer_does_not_answer() -> None:
    issuer = Issuer(RSA_JWK)
    issuer.status = 500
    reader = issuer.reader()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await reader.read(by(RSA_KEY, "RS256", "rsa"))
    assert issuer.asked == 1
    issuer.status, issuer.now_s = 200, 11.0
    await reader.read(by(RSA_KEY, "RS256", "rsa"))
    for issuer.status, issuer.keys, issuer.now_s in ((500, [], 700.0), (200, [], 720.0), (200, "x", 740.0)):
        await reader.read(by(RSA_KEY, "RS256", "rsa"))
    assert issuer.asked == 5
