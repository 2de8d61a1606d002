"""Fail unless a commit message begins `scope: imperative …`, at most 72 characters, lower case after the colon."""

from __future__ import annotations

import re
import sys
from pathlib import Path

SUBJECT_CHARACTERS_MAX = 72
_SUBJECT = re.compile(r"[a-z0-9_., /-]+: [a-z0-9`\"'/._-].*[^.]")


def problem(subject: str) -> str:
    """Return what is wrong with `subject`, or "" when it is as CONTRIBUTING.md says."""
    if subject.startswith(("Merge ", "Revert ", "fixup! ", "squash! ")):
        return ""
    if len(subject) > SUBJECT_CHARACTERS_MAX:
        return f"has {len(subject)} characters; at most {SUBJECT_CHARACTERS_MAX} fit"
    if not _SUBJECT.fullmatch(subject):
        return "must read `scope: imperative verb …`, in lower case after the colon, without a full stop"
    return ""


def main() -> None:
    """Check the message file that git hands over."""
    subject = Path(sys.argv[1]).read_text(encoding="utf-8").partition("\n")[0]
    if found := problem(subject):
        sys.exit(f"commit subject {subject!r} {found}")


if __name__ == "__main__":
    main()
