"""The demo's script: who asks, what, in whose knowledge the answer lies, and what is on the screen meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local.caller.pictures import Slide

TENANT = "demo"
OTHER_TENANT = "rival"
CALLER = "ada"
# Another voice than the agent's own, so that the recording can be told apart by ear.
CALLER_VOICE = "en-us+f3"
KNOWLEDGE_FOLDER = Path(__file__).resolve().parent.parent / "examples" / "knowledge"

# What the other tenant knows: on the same subject, with other facts, so that a leak would be heard.
OTHER_DOCUMENT = "rival-terms"
OTHER_KNOWLEDGE = "# Rival\n\nNothing yet.\n"
# Both tenants write about it; a search for it shows whether they are kept apart.
SHARED_SUBJECT = "warranty shipping opening hours"


@dataclass(frozen=True, slots=True)
class Line:
    """A question, and words of which at least one must be in the answer (in lower case; empty for any answer)."""

    text: str
    expect: tuple[str, ...] = ()


KNOWLEDGE = Line("how long is the warranty", ("two years",))
TASK = Line("remind me to call the workshop tomorrow", ("workshop",))
TASK_TITLE_HOLDS = "workshop"
SCREEN = Line("what do you see on the screen")
LONG = Line("what should i do when the lamp does not turn on")
BARGE_IN = Line("when does the workshop open")
TEXT = Line("What does shipping cost?")
SPOKEN = (KNOWLEDGE, TASK, SCREEN, LONG, BARGE_IN)

SLIDES = (
    Slide("Quarterly review", ("Sales by region", "Open orders", "Returns"), (28, 52, 92)),
    Slide("Delivery times", ("Warehouse north", "Warehouse south", "Express"), (92, 46, 28)),
    Slide("Delivery times", ("Warehouse north", "Warehouse south", "Express"), (92, 46, 28), word="DELAYED"),
    Slide("Next steps", ("Call the carrier", "Tell the customers"), (30, 84, 52)),
)
