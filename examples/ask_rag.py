"""Store a document in the tenant's knowledge base and search it.

make up                                      # starts the mesh
eval "$(.venv/bin/hocket-local env)"         # sets TOKEN and the address of each service
.venv/bin/python examples/ask_rag.py "$RAG" "how long is the warranty"
"""

from __future__ import annotations

import asyncio
import os
import sys

from hocket.rag.v1.rag_pb2 import Document

from hocket.client import MeshChannel, MeshError, RagClient

TEXT = """# Warranty
Every lamp has a warranty of two years from the day of purchase. Bulbs are not covered.

# Returns
A lamp may be sent back within thirty days. We pay for the way back.
"""


async def main(target: str, token: str, question: str) -> None:
    """Ingest TEXT, then print the passages that match `question` and the duration of each stage."""
    async with MeshChannel(target, lambda: token) as channel:
        rag = RagClient(channel)
        async for stored in rag.ingest([Document(document_id="example", title="Terms of sale", text=TEXT)]):
            print(f"{stored.document_id}: {stored.error or f'{stored.passages} passages'}")
        answer = await rag.search(question, k=3, budget_s=1)
        for passage in answer.passages:
            print(f"{passage.score:6.2f}  {passage.title}: {passage.text}")
        took = ", ".join(f"{t.stage} {t.elapsed.ToMicroseconds() / 1000:.1f} ms" for t in answer.timings)
        print(f"({took}; skipped: {', '.join(answer.degraded) or 'nothing'})")


if __name__ == "__main__":
    if len(sys.argv) != 3 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], os.environ["TOKEN"], sys.argv[2]))
    except MeshError as error:
        sys.exit(f"{type(error).__name__}: {error}")
