"""The documentation page works without internet: whatever it names is served by ourselves."""

from __future__ import annotations

import re

import httpx

from api.app import create_app
from api.stores import build_stores
from runtime.settings import KafkaSettings, Settings


async def test_the_page_and_all_it_names_come_from_our_own_host() -> None:
    settings = Settings.model_construct(kafka=KafkaSettings())
    app = create_app(settings, build_stores(settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ours") as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        named = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text) + re.findall(r"url: '([^']+)'", page.text)
        addresses = [address for address in named if not address.startswith("data:")]
        assert len(addresses) >= 3
        for address in addresses:
            assert address.startswith("/"), address
            answer = await client.get(address)
            assert answer.status_code == 200, address
            assert answer.content


async def test_who_opens_the_address_alone_is_led_to_the_documentation() -> None:
    settings = Settings.model_construct(kafka=KafkaSettings())
    app = create_app(settings, build_stores(settings))
    for root in ("", "/behind"):
        transport = httpx.ASGITransport(app, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://ours") as client:
            answer = await client.get("/")
            assert (answer.status_code, answer.headers["location"]) == (307, f"{root}/docs")
