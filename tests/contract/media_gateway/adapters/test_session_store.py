"""The session store during an outage of Redis."""

from __future__ import annotations

from livekit.agents import llm

from services.media_gateway.adapters.session_store import SessionStore


async def test_without_redis_nothing_is_loaded_or_saved():
    store = SessionStore.connect("redis://127.0.0.1:1", tenant_id="acme", room_sid="RM_1", ttl_s=60)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="hello")
    assert await store.load() is None
    assert await store.save(context) is False
    await store.close()
