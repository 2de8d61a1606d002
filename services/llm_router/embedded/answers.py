"""Rules of the embedded answerer: answers from passages, tools and measurements of images, without a model.

Answers are meant to be spoken: short, the point first. Where no rule applies, it says that it does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from services.llm_router.chat.request import ImagePart, Message, Passage, Request, Role, ToolChoice, ToolResult
from services.llm_router.embedded.extraction import extract
from services.llm_router.embedded.task_words import mentions_task, parse_task

UNKNOWN = "I don't know that. I could not find it in the documents I have."
UNKNOWN_ALONE = "I don't know that. I can only answer from your documents."


@dataclass(frozen=True, slots=True)
class Reply:
    """A spoken reply."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool to call."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """Measurements of an image: size in pixels, mean brightness 0..1, name of the main colour.

    Brightness is None and colour empty for an image that was not decoded.
    """

    width_px: int
    height_px: int
    brightness: float | None
    colour: str


SummarizeImage = Callable[[ImagePart], ImageSummary]

_HELLO = r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|greetings|hallo|howdy)"
_GREETING = re.compile(rf"^(?:{_HELLO}\b[\s,.!]*(?:there|everyone|again|hocket)?[\s,.!?]*)+$", re.IGNORECASE)
_LEADING_GREETING = re.compile(rf"^(?:{_HELLO}(?: there)?[\s,.!]+)+", re.IGNORECASE)
_SMALL_TALK = (
    (
        re.compile(
            r"^(?:ok(?:ay)?|great|perfect|cool|no|yes)?[\s,.!]*(?:thanks|thank you|cheers)\b.{0,30}$", re.IGNORECASE
        ),
        "You're welcome.",
    ),
    (
        re.compile(
            r"^(?:ok(?:ay)?[\s,.!]*)?(?:bye|goodbye|good night|see you|that(?:'s| is) all)\b.{0,30}$", re.IGNORECASE
        ),
        "Goodbye.",
    ),
    (
        re.compile(r"\bhow (?:are you|is it going|do you do)\b", re.IGNORECASE),
        "I'm fine, thank you. How can I help you?",
    ),
    (
        re.compile(
            r"\b(?:who are you|what are you|what(?:'s| is) your name|what can you do|can you help)\b", re.IGNORECASE
        ),
        "I'm the built-in assistant, not a language model. I answer from your documents and can note down tasks.",
    ),
)
_AGAIN = re.compile(r"\b(?:say (?:that|it) again|repeat (?:that|it)|come again|pardon)\b", re.IGNORECASE)
_PICTURE = re.compile(
    r"\b(?:on|in|at|of) (?:my|the|this|that) "
    r"(?:screen|picture|image|photo|camera|video|frame|screenshot|display|slide|page)\b"
    r"|\b(?:can|do) you see\b|\bwhat (?:do|can) you see\b|\bwhat am i (?:showing|holding|looking at|sharing)\b"
    r"|\blook at (?:this|that|my|the)\b|\b(?:my|this|the) (?:screen|picture|image|photo|screenshot)\b"
    r"|\bsee (?:this|that|my)\b",
    re.IGNORECASE,
)
_PROFILE = re.compile(
    r"\b(?:what(?:'s| is) my name|who am i|my (?:user )?profile|what do you know about me|do you know me)\b",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"^(?:please |can you |could you )*(?:note(?: down)?|make a note|take a note|log|write down|record|remember)"
    r"(?: this| the| an| a)?(?: insight)?(?: that| of|:|,)?\s+(?P<text>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_QUESTION = re.compile(
    r"\?\s*$|^(?:so |and |but |ok(?:ay)? |well |please |hey )*"
    r"(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|can|could|will|would|should|may"
    r"|has|have|tell me|explain|find|search|look up|show me|give me)\b",
    re.IGNORECASE,
)


def respond(request: Request, summarize_image: SummarizeImage, now_s: float) -> Reply | ToolRequest:
    """Return the next reply or tool call.

    Args:
        request: The conversation.
        summarize_image: Measures an image.
        now_s: Unix seconds.
    """
    turns = request.turns
    last = turns[-1] if turns else None
    if last is None or last.role is Role.ASSISTANT:
        return Reply("Hello. How can I help you?")
    if last.role is Role.TOOL:
        return Reply(_after_tools(request, last))
    return _to_user(request, last, summarize_image, now_s)


def _to_user(request: Request, last: Message, summarize_image: SummarizeImage, now_s: float) -> Reply | ToolRequest:
    words = _LEADING_GREETING.sub("", last.words.strip()) or last.words.strip()
    tools = set[str]() if request.tool_choice is ToolChoice.NONE else {t.name for t in request.tools}
    called = _tool(words, tools, required=request.tool_choice is ToolChoice.REQUIRED)
    if called is not None:
        return called
    pictures = [p for p in last.parts if isinstance(p, ImagePart)]
    reply = _task_talk(words, tools) or _small_talk(request, words)
    if not reply and (_PICTURE.search(words) or (pictures and not words)):
        reply = _of_pictures(pictures, summarize_image, now_s)
    return Reply(reply) if reply else _from_passages(words, [p for p in last.parts if isinstance(p, Passage)], tools)


def _from_passages(words: str, passages: Sequence[Passage], tools: set[str]) -> Reply | ToolRequest:
    found = extract(words, passages)
    if found is not None:
        return Reply(" ".join(found.sentences))
    if passages:
        return Reply(UNKNOWN)
    if not _QUESTION.search(words):
        return Reply("I'm not sure what you mean. Ask me something about your documents.")
    return ToolRequest("search_knowledge", {"query": words}) if "search_knowledge" in tools else Reply(UNKNOWN_ALONE)


def _task_talk(words: str, tools: set[str]) -> str:
    if not mentions_task(words):
        return ""
    return "What should the task say?" if "create_task" in tools else "I'm sorry, I cannot create tasks here."


def _tool(words: str, tools: set[str], *, required: bool) -> ToolRequest | None:
    """Return the tool call that `words` ask for, or some call when one is required."""
    if "create_task" in tools:
        task = parse_task(words)
        if task is not None:
            return ToolRequest("create_task", {"title": task.title, **({"due": task.due} if task.due else {})})
    if "get_user_profile" in tools and _PROFILE.search(words):
        return ToolRequest("get_user_profile", {})
    note = _NOTE.match(words)
    if "log_insight" in tools and note is not None:
        return ToolRequest("log_insight", {"text": note["text"].strip()})
    if required and "search_knowledge" in tools:
        return ToolRequest("search_knowledge", {"query": words})
    return None


def _small_talk(request: Request, words: str) -> str:
    if _GREETING.match(words):
        return "Hello. How can I help you?"
    for pattern, reply in _SMALL_TALK:
        if pattern.search(words):
            return reply
    if _AGAIN.search(words):
        replies = [m.words for m in request.turns if m.role is Role.ASSISTANT and m.words]
        return replies[-1] if replies else "I have not said anything yet."
    return ""


def _of_pictures(pictures: Sequence[ImagePart], summarize_image: SummarizeImage, now_s: float) -> str:
    if not pictures:
        return "I don't have a picture of that. Share your screen or camera and ask again."
    newest = pictures[-1]
    seen = summarize_image(newest)
    number = "one picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
    size = f"{seen.width_px} by {seen.height_px} pixels"
    which = "It is" if len(pictures) == 1 else "The newest is"
    return f"I have {number}, but I cannot read what is on it. {which} {size}{_age(newest, now_s)}{_light(seen)}."


def _light(seen: ImageSummary) -> str:
    if seen.brightness is None:
        return ""
    lightness = "dark" if seen.brightness < 0.3 else "bright" if seen.brightness > 0.7 else "of middle brightness"
    return f", {lightness} and mostly {seen.colour}"


def _age(picture: ImagePart, now_s: float) -> str:
    if picture.captured_at_s is None:
        return ""
    age_s = max(now_s - picture.captured_at_s, 0)
    if age_s < 1.5:
        return ", taken just now"
    if age_s < 90:
        return f", taken {age_s:.0f} seconds ago"
    return f", taken {age_s / 60:.0f} minutes ago"


def _after_tools(request: Request, last: Message) -> str:
    results = [p for p in last.parts if isinstance(p, ToolResult)]
    question = next((m.words for m in reversed(request.turns) if m.role is Role.USER), "")
    return " ".join(_after_tool(result, question) for result in results) or UNKNOWN_ALONE


_UNDONE = {"create_task": "create the task", "log_insight": "write that down", "search_knowledge": "search"}


def _after_tool(result: ToolResult, question: str) -> str:
    if result.is_error:
        return f"I'm sorry, I could not {_UNDONE.get(result.name, 'do that')}. Please try again later."
    data = _json(result.content)
    row = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    match result.name:
        case "create_task":
            return _task_made(row, question)
        case "log_insight":
            return "Noted."
        case "get_user_profile":
            return _profile(row)
        case "search_knowledge":
            found = extract(question, _passages(row.get("passages", row.get("results", data)), result.content))
            return " ".join(found.sentences) if found else UNKNOWN
        case _:
            return " ".join(result.content.split())[:300] or "Done."


def _task_made(row: Mapping[str, Any], question: str) -> str:
    task = parse_task(question)
    title = row.get("title") or (task.title if task else "")
    due = f", due {task.due}" if task and task.due else ""
    return f"Done. I created the task {title}{due}." if title else "Done. I created the task."


def _profile(row: Mapping[str, Any]) -> str:
    name, notes = row.get("display_name"), row.get("notes")
    sentence = f"You are {name}." if name else "I don't know your name."
    return f"{sentence} {notes}" if isinstance(notes, str) and notes else sentence


def _passages(rows: Any, content: str) -> list[Passage]:
    if not isinstance(rows, list):
        return [Passage("", "", content)]
    texts = [r.get("text", "") if isinstance(r, Mapping) else r for r in cast("list[str | Mapping[str, Any]]", rows)]
    return [Passage("", "", str(text)) for text in texts if text]


def _json(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def split_words(text: str) -> list[str]:
    """Split `text` into words with their leading space, so that speech can start with the first."""
    return re.findall(r"\s*\S+", text)
