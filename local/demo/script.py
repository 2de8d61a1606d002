"""Script of the demo: tenants, questions with expected answers, slides, and the knowledge of the other tenant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local.caller.slides import Slide

TENANT = "demo"
OTHER_TENANT = "rival"
CALLER = "ada"
# Differs from the voice of the agent, so that a listener can tell them apart.
CALLER_VOICE = "en-us+f2"
KNOWLEDGE_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "knowledge"

# Same subjects as the knowledge of the demo tenant, other facts: a leak changes an answer.
OTHER_DOCUMENT = "another-office"
OTHER_KNOWLEDGE = """# Another office

The office is never open on Saturday. The company meeting starts at four in the afternoon on Fridays. Visitors park on
the roof, and a new badge is free.
"""
# Both tenants have passages on it, so a search for it shows whether tenants are isolated.
SHARED_SUBJECT = "company meeting, visitors, new badge"


@dataclass(frozen=True, slots=True)
class ScriptedQuestion:
    """A question of the script.

    Attributes:
        text: the words to ask.
        expected_phrases: lower-case phrases, one of which the answer must contain; empty accepts any answer.
        expected_tool: name of the tool that the answer must call; "" requires none.
    """

    text: str
    expected_phrases: tuple[str, ...] = ()
    expected_tool: str = ""


KNOWLEDGE = ScriptedQuestion("Is the office open on Saturday?", ("one in the afternoon",))
TASK = ScriptedQuestion("Remind me to book a meeting room on Friday.", expected_tool="create_task")
TASK_TITLE_PHRASE = "meeting room"
SCREEN = ScriptedQuestion("What do you see on the screen?")
# The answer is long enough to be interrupted.
LONG = ScriptedQuestion("What do I do when the coffee machine does not start?")
BARGE_IN = ScriptedQuestion("Where do visitors park?", ("first row",))
TEXT = ScriptedQuestion("How much does a new badge cost?", ("ten euros",))
SPOKEN = (KNOWLEDGE, TASK, SCREEN, LONG, BARGE_IN)

SLIDES = (
    Slide("Quarterly review", ("Sales by region", "Open orders", "Returns"), (28, 52, 92)),
    Slide("Delivery times", ("Warehouse north", "Warehouse south", "Express"), (92, 46, 28)),
    Slide("Delivery times", ("Warehouse north", "Warehouse south", "Express"), (92, 46, 28), word="DELAYED"),
    Slide("Next steps", ("Call the carrier", "Tell the customers"), (30, 84, 52)),
)
