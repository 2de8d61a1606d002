"""The agent that livekit-agents' AgentSession runs: instructions, tools and the chat context to start with."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from livekit.agents import Agent, llm

from services.media_gateway.turns.turn_log import TurnLog


class RoomAgent(Agent):
    """The agent of one room."""

    def __init__(
        self,
        instructions: str,
        tools: list[llm.Tool | llm.Toolset],
        turn_log: TurnLog,
        *,
        context: llm.ChatContext | None,
    ) -> None:
        """Create the agent.

        Args:
            instructions: System prompt.
            tools: Tools offered to the model.
            turn_log: Log in which completed input is marked.
            context: Conversation of a replaced agent, or None for a new conversation.
        """
        super().__init__(instructions=instructions, tools=tools, chat_ctx=context)
        self._turn_log = turn_log

    async def on_user_turn_completed(
        self,
        turn_ctx: llm.ChatContext,  # noqa: ARG002 - a change would make livekit-agents discard the preemptive answer
        new_message: llm.ChatMessage,  # noqa: ARG002 - the same
    ) -> None:
        """Mark the user's input as complete; livekit-agents calls this at the end of a spoken turn."""
        self._turn_log.mark_input_complete()
