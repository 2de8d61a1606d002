"""Token usage of one vendor call: the vendor's reports, and output that it has not counted yet."""

from __future__ import annotations

from dataclasses import replace

from services.llm_router.chat.events import Usage, UsageUpdate
from services.llm_router.chat.request import CHARACTERS_PER_TOKEN
from services.llm_router.errors import FailureKind, ModelFailure

# Characters of uncounted output; longer output is a runaway generation.
UNREPORTED_CHARACTERS_MAX = 4 * 1024 * 1024


class UsageMeter:
    """Tokens of one attempt. `usage` holds the vendor's last report."""

    def __init__(self, prompt_tokens: int) -> None:
        """Use `prompt_tokens` (an estimate) for vendors that never report usage."""
        self.usage = Usage()
        self.served_model = ""
        self._prompt_tokens = prompt_tokens
        self._unreported: list[str] = []
        self._unreported_characters = 0
        self._unreported_tokens: int | None = None

    @property
    def unreported_text(self) -> str:
        """Output since the vendor's last count; empty where everything is counted."""
        return "".join(self._unreported)

    @property
    def has_unreported_output(self) -> bool:
        """True when some output is not counted by the vendor."""
        return bool(self._unreported)

    @property
    def vendor_silent(self) -> bool:
        """True when the vendor sent neither output nor usage."""
        return not (self._unreported or self.usage.prompt_tokens)

    def report(self, seen: UsageUpdate) -> None:
        """Take a usage report of the vendor; implausible counts are ignored, since an estimate is closer."""
        self.served_model = seen.served_model or self.served_model
        if not seen.usage.possible:
            return
        self.usage = seen.usage
        if seen.output_reported:
            self._unreported.clear()
            self._unreported_characters = 0

    def add_output(self, text: str) -> None:
        """Add output that the vendor has not counted yet. Raises ModelFailure when the output exceeds its limit."""
        self._unreported.append(text)
        self._unreported_characters += len(text)
        if self._unreported_characters > UNREPORTED_CHARACTERS_MAX:
            raise ModelFailure(
                FailureKind.CUT, f"the model's uncounted output exceeded {UNREPORTED_CHARACTERS_MAX} characters"
            )

    def set_counted(self, tokens: int | None) -> None:
        """Set the tokens of `unreported_text` as counted by the vendor; None where it does not count."""
        self._unreported_tokens = tokens

    def total(self) -> tuple[Usage, bool]:
        """Return the usage, and whether part of it is not counted by the vendor.

        Some vendors count output only at the end, some servers never; such output is estimated from its length.
        """
        if not self._unreported:
            return self.usage, False
        known = self.usage if self.usage.prompt_tokens else Usage(input_tokens=self._prompt_tokens)
        unreported_tokens = self._unreported_tokens
        if unreported_tokens is None:
            unreported_tokens = int(self._unreported_characters / CHARACTERS_PER_TOKEN + 0.5)
        return replace(known, output_tokens=known.output_tokens + unreported_tokens), True
