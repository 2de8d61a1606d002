"""What one call to a vendor has used: what the vendor told, and what it said since and did not tell."""

from __future__ import annotations

from dataclasses import replace

from services.llm_router.chat.events import Usage, UsageUpdate
from services.llm_router.chat.request import CHARACTERS_PER_TOKEN
from services.llm_router.errors import FailureKind, ModelFailure

# Of thinking and of calls that are not whole, in characters; more is no answer to anything.
UNREPORTED_CHARACTERS_MAX = 4 * 1024 * 1024


class UsageMeter:
    """The tokens of one attempt. `usage` is the vendor's own word."""

    def __init__(self, prompt_tokens: int) -> None:
        """`prompt_tokens` is our estimate, for vendors that never count."""
        self.usage = Usage()
        self.served_model = ""
        self._prompt_tokens = prompt_tokens
        self._unreported: list[str] = []
        self._unreported_characters = 0
        self._unreported_tokens: int | None = None

    @property
    def unreported_text(self) -> str:
        """What was said since the vendor last told the tokens of its output; empty where it has told them all."""
        return "".join(self._unreported)

    @property
    def has_unreported_output(self) -> bool:
        """Whether anything is untold."""
        return bool(self._unreported)

    @property
    def vendor_silent(self) -> bool:
        """Whether the vendor has neither said nor told anything."""
        return not (self._unreported or self.usage.prompt_tokens)

    def report(self, seen: UsageUpdate) -> None:
        """The vendor told what was used so far."""
        self.served_model = seen.served_model or self.served_model
        if not seen.usage.possible:
            # As if it had told nothing: an estimate is nearer.
            return
        self.usage = seen.usage
        if seen.output_reported:
            self._unreported.clear()
            self._unreported_characters = 0

    def add_output(self, text: str) -> None:
        """The model said `text`, to somebody or to itself. Raises ModelFailure where it never stops."""
        self._unreported.append(text)
        self._unreported_characters += len(text)
        if self._unreported_characters > UNREPORTED_CHARACTERS_MAX:
            raise ModelFailure(FailureKind.CUT, "the model went on without end")

    def set_counted(self, tokens: int | None) -> None:
        """The tokens of `untold` as the vendor counts them; None where it does not."""
        self._unreported_tokens = tokens

    def total(self) -> tuple[Usage, bool]:
        """Usage, and whether part of it is no word of the vendor's: some tell the output's tokens at the end alone.

        And some servers tell nothing: an answer was not for nothing because nobody counted it.
        """
        if not self._unreported:
            return self.usage, False
        known = self.usage if self.usage.prompt_tokens else Usage(input_tokens=self._prompt_tokens)
        untold = self._unreported_tokens
        if untold is None:
            untold = int(self._unreported_characters / CHARACTERS_PER_TOKEN + 0.5)
        return replace(known, output_tokens=known.output_tokens + untold), True
