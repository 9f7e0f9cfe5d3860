"""People who sign in, as clients; what they need is made as they make it: over HTTP."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import httpx

from tests.integration.api.service import Service


@dataclass(frozen=True)
class Someone:
    """A person of one test."""

    service: Service
    user_id: str
    email: str

    @property
    def token(self) -> str:
        """Return a token of theirs."""
        return self.service.token(self.user_id, email=self.email)

    def client(self, organization: str | None = None) -> httpx.Client:
        """Return a client that asks as them, for an organization if one is named."""
        return self.service.client(self.token, organization=organization)

    def found(self, slug: str) -> None:
        """Create an organization."""
        with self.client() as client:
            client.post("/api/v1/organizations", json={"slug": slug}).raise_for_status()

    def invite(self, other: Someone, slug: str, role: str) -> None:
        """Make somebody a member, in both steps."""
        with self.client(slug) as client:
            invitation = client.post("/api/v1/invitations", json={"email": other.email, "role": role})
            invitation.raise_for_status()
        with other.client() as client:
            client.post("/api/v1/invitations/accept", json={"token": invitation.json()["token"]}).raise_for_status()


def someone(service: Service, name: str = "someone") -> Someone:
    """Return a person whom nobody has seen yet."""
    tag = uuid.uuid4().hex[:10]
    return Someone(service, f"{name}-{tag}", f"{name}-{tag}@example.com")
