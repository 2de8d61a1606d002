"""What one call to a vendor has used: what the vendor told, and what it said since and did not tell."""

from __future__ import annotations

from dataclasses import replace

from services.llm_router.chat.events import Usage, UsageSeen
from services.llm_router.chat.request import CHARACTERS_PER_TOKEN
from services.llm_router.errors import FailureKind, ModelFailure

# Of thinking and of calls that are not whole, in characters; more is no answer to anything.
UNTOLD_MAX = 4 * 1024 * 1024


class Meter:
    """The tokens of one attempt. `usage` is the vendor's own word."""

    def __init__(self, prompt_tokens: int) -> None:
        """`prompt_tokens` is our estimate, for vendors that never count."""
        self.usage = Usage()
        self.served_model = ""
        self._prompt_tokens = prompt_tokens
        self._untold: list[str] = []
        self._untold_characters = 0
        self._untold_tokens: int | None = None

    @property
    def untold(self) -> str:
        """What was said since the vendor last told the tokens of its output; empty where it has told them all."""
        return "".join(self._untold)

    @property
    def uncounted(self) -> bool:
        """Whether anything is untold."""
        return bool(self._untold)

    @property
    def silent(self) -> bool:
        """Whether the vendor has neither said nor told anything."""
        return not (self._untold or self.usage.prompt_tokens)

    def told(self, seen: UsageSeen) -> None:
        """The vendor told what was used so far."""
        self.served_model = seen.served_model or self.served_model
        if not seen.usage.possible:
            # As if it had told nothing: an estimate is nearer.
            return
        self.usage = seen.usage
        if seen.output_told:
            self._untold.clear()
            self._untold_characters = 0

    def said(self, text: str) -> None:
        """The model said `text`, to somebody or to itself. Raises ModelFailure where it never stops."""
        self._untold.append(text)
        self._untold_characters += len(text)
        if self._untold_characters > UNTOLD_MAX:
            raise ModelFailure(FailureKind.CUT, "the model went on without end")

    def counted(self, tokens: int | None) -> None:
        """The tokens of `untold` as the vendor counts them; None where it does not."""
        self._untold_tokens = tokens

    def known(self) -> tuple[Usage, bool]:
        """Usage, and whether part of it is no word of the vendor's: some tell the output's tokens at the end alone.

        And some servers tell nothing: an answer was not for nothing because nobody counted it.
        """
        if not self._untold:
            return self.usage, False
        known = self.usage if self.usage.prompt_tokens else Usage(input_tokens=self._prompt_tokens)
        untold = self._untold_tokens
        if untold is None:
            untold = int(self._untold_characters / CHARACTERS_PER_TOKEN + 0.5)
        return replace(known, output_tokens=known.output_tokens + untold), True
