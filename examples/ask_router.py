"""Ask the router a question; print the model it chose, the reason, the answer and the cost.

make up                                      # starts the mesh
eval "$(.venv/bin/hocket-local env)"         # sets TOKEN and the address of each service
.venv/bin/python examples/ask_router.py "$LLM_ROUTER" "compare a lease with a loan for a small bakery"
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing

from hocket.llm_router.v1.llm_router_pb2 import ROLE_USER, Finish, GenerateRequest, Message, Part, RouteDecision, Tier

from hocket.client import MeshChannel, MeshError, RouterClient


def print_route(route: RouteDecision) -> None:
    """Print model, tier, score and the first reason of a routing decision."""
    tier = Tier.Name(route.tier).removeprefix("TIER_").lower()
    print(f"{route.model} ({tier}, score {route.score:.2f}): {route.reasons[0].detail}")


def print_finish(finish: Finish) -> None:
    """Print the time to the first token, the token counts and the cost."""
    usage, waited_ms = finish.usage, finish.time_to_first_token.ToMicroseconds() / 1000
    tokens = f"{usage.input_tokens} tokens in ({usage.cached_input_tokens} cached), {usage.output_tokens} out"
    print(f"\n(first token after {waited_ms:.0f} ms; {tokens}; {finish.cost_micro_usd / 1e6:.6f} USD)")


async def main(target: str, token: str, question: str) -> None:
    """Print the route, the answer as it is generated, and the cost."""
    request = GenerateRequest(messages=[Message(role=ROLE_USER, parts=[Part(text=question)])])
    async with MeshChannel(target, lambda: token) as channel:
        # Closing the events cancels the call, including the vendor's: output that is not read is not paid for.
        async with aclosing(RouterClient(channel).generate(request)) as events:
            async for event in events:
                if event.HasField("route"):
                    print_route(event.route)
                elif event.HasField("finish"):
                    print_finish(event.finish)
                else:
                    print(event.text_delta, end="", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], os.environ["TOKEN"], sys.argv[2]))
    except MeshError as error:
        sys.exit(f"{type(error).__name__}: {error}")
