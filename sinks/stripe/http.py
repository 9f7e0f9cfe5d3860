"""How the stripe library reaches the network: httpx, with nothing between us and its errors.

The library's own httpx client sends bodies in a way that httpx deprecates, and hides bugs as network errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import stripe


class HttpClient(stripe.HTTPClient):
    """One pool of connections; how many are in use at once is the rate limit's matter."""

    name = "httpx"

    def __init__(self, *, timeout_s: float, direct: bool) -> None:
        """`direct` passes by the proxy of the environment, which cannot reach this machine."""
        super().__init__()
        limits = httpx.Limits(max_keepalive_connections=20)
        self._client = httpx.AsyncClient(timeout=timeout_s, limits=limits, trust_env=not direct)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request. Raises: stripe.APIConnectionError."""
        try:
            response = await self._client.request(method, url, headers=headers, content=post_data)
        except httpx.HTTPError as exc:
            raise stripe.APIConnectionError(type(exc).__name__) from exc  # type: ignore[no-untyped-call]
        return response.content, response.status_code, response.headers

    async def close_async(self) -> None:
        """Close the connections."""
        await self._client.aclose()
