"""Ask a question of whichever model the router finds right, and see why and at what price.

make up                                     # prints a token and the target of each service
TOKEN=... python examples/ask_router.py 127.0.0.1:20004 "compare a lease with a loan for a small bakery"
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing

from hocket.llm_router.v1.llm_router_pb2 import ROLE_USER, Finish, GenerateRequest, Message, Part, RouteDecision, Tier

from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import MeshError
from hocket.client.llm_router import RouterClient


def tell_route(route: RouteDecision) -> None:
    """Who answers, and why."""
    tier = Tier.Name(route.tier).removeprefix("TIER_").lower()
    print(f"{route.model} ({tier}, score {route.score:.2f}): {route.reasons[0].detail}")


def tell_finish(finish: Finish) -> None:
    """How long the first word took, what was read and written, and what it cost."""
    usage, waited_ms = finish.usage, finish.time_to_first_token.ToMicroseconds() / 1000
    tokens = f"{usage.input_tokens} tokens in ({usage.cached_input_tokens} cached), {usage.output_tokens} out"
    print(f"\n(first word after {waited_ms:.0f} ms; {tokens}; {finish.cost_micro_usd / 1e6:.6f} USD)")


async def main(target: str, token: str, question: str) -> None:
    """Print the route, the answer as it comes, and the bill."""
    request = GenerateRequest(messages=[Message(role=ROLE_USER, parts=[Part(text=question)])])
    async with MeshChannel(target, lambda: token) as channel:
        # Closing the events ends the call, down to the vendor: a reader who leaves pays for nothing more.
        async with aclosing(RouterClient(channel).generate(request)) as events:
            async for event in events:
                if event.HasField("route"):
                    tell_route(event.route)
                elif event.HasField("finish"):
                    tell_finish(event.finish)
                else:
                    print(event.text_delta, end="", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], os.environ["TOKEN"], sys.argv[2]))
    except MeshError as error:
        sys.exit(f"{type(error).__name__}: {error}")
