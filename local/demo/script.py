"""The demo's script: who asks, what, in whose knowledge the answer lies, and what is on the screen meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local.caller.slides import Slide

TENANT = "demo"
OTHER_TENANT = "rival"
CALLER = "ada"
# Another voice than the agent's own, so that the two can be told apart by ear.
CALLER_VOICE = "en-us+f2"
KNOWLEDGE_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "knowledge"

# What the other tenant knows: on the same subjects, with other facts, so that a leak would be heard.
OTHER_DOCUMENT = "another-office"
OTHER_KNOWLEDGE = """# Another office

The office is never open on Saturday. The company meeting starts at four in the afternoon on Fridays. Visitors park on
the roof, and a new badge is free.
"""
# Both tenants write about it; a search for it shows whether they are kept apart.
SHARED_SUBJECT = "company meeting, visitors, new badge"


@dataclass(frozen=True, slots=True)
class Line:
    """A question, and words of which at least one must be in the answer (in lower case; empty for any answer)."""

    text: str
    expect: tuple[str, ...] = ()


KNOWLEDGE = Line("Is the office open on Saturday?", ("one in the afternoon",))
TASK = Line("Remind me to book a meeting room on Friday.")
TASK_TITLE_HOLDS = "meeting room"
SCREEN = Line("What do you see on the screen?")
# Its answer is long enough to be interrupted.
LONG = Line("What do I do when the coffee machine does not start?")
BARGE_IN = Line("Where do visitors park?", ("first row",))
TEXT = Line("How much does a new badge cost?", ("ten euros",))
SPOKEN = (KNOWLEDGE, TASK, SCREEN, LONG, BARGE_IN)

SLIDES = (
    Slide("Quarterly review", ("Sales by region", "Open orders", "Returns"), (28, 52, 92)),
    Slide("Delivery times", ("Warehouse north", "Warehouse south", "Express"), (92, 46, 28)),
    Slide("Delivery times", ("Warehouse north", "Warehouse south", "Express"), (92, 46, 28), word="DELAYED"),
    Slide("Next steps", ("Call the carrier", "Tell the customers"), (30, 84, 52)),
)
