"""Hooks of mkdocs: pages from outside docs/, links that hold in the repository and on the site, Mermaid from a file."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# mkdocs counts warnings below this name, and --strict fails on any.
log = logging.getLogger("mkdocs.hooks.site")
# Where `make docs` puts Mermaid; the theme would load it from a CDN otherwise.
MERMAID = ROOT / ".hocket-tools" / "mermaid" / "mermaid.min.js"
MERMAID_ADDRESS = "assets/mermaid.min.js"
# Pages that live outside docs/, by their address on the site.
OUTSIDE = {
    "local.md": "local/README.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
    "benchmarks/index.md": "bench/README.md",
    "benchmarks/llm_router.md": "bench/llm_router/RESULTS.md",
    "benchmarks/voice.md": "bench/voice/README.md",
    **{f"services/{path.parent.name}.md": str(path.relative_to(ROOT)) for path in ROOT.glob("services/*/README.md")},
}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)|(?P<code>`[^`\n]+`)")
_FENCE = re.compile(r"^(```|~~~)", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Load Mermaid from the site itself, where `make docs` has fetched it; list the pages of folders in `nav`."""
    if MERMAID.exists():
        config.extra_javascript.append(MERMAID_ADDRESS)
    for entry in cast("list[dict[str, object]]", config["nav"]):
        for title, target in entry.items():
            if isinstance(target, str) and target.endswith("/"):
                entry[title] = folder_pages(target)
    return config


def folder_pages(folder: str) -> list[str]:
    """Return the pages of a folder of docs/, its README first."""
    return [f"{folder}README.md", *sorted(f"{folder}{p.name}" for p in (ROOT / "docs" / folder).glob("[!R]*.md"))]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of OUTSIDE, and Mermaid."""
    for address, source in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, address, content=text))
    if MERMAID.exists():
        files.append(File.generated(config, MERMAID_ADDRESS, abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the relative links of a page from the repository's layout to the site's."""
    address = page.file.src_uri
    source = OUTSIDE.get(address, f"docs/{address}")
    source_url = str(dict(cast("dict[str, str]", config.extra)).get("source_url", ""))

    def rewritten(match: re.Match[str]) -> str:
        if match["code"] or is_external(match["target"]):
            return match[0]
        path, hash_mark, anchor = match["target"].partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path)) if path else source
        if not (ROOT / wanted).exists():
            log.warning("%s links to %s, which does not exist", source, match["target"])
        on_site = site_address(wanted, files)
        if on_site:
            return f"[{match['text']}]({posixpath.relpath(on_site, posixpath.dirname(address))}{hash_mark}{anchor})"
        return f"[{match['text']}]({source_url}/{wanted})" if source_url else match["text"]

    return "".join(text if is_code else _LINK.sub(rewritten, text) for is_code, text in blocks(markdown))


def is_external(target: str) -> bool:
    """Return whether a link leaves the repository."""
    return re.match(r"[a-z]+:", target) is not None


def site_address(source: str, files: Files) -> str:
    """Return the address on the site of a file of the repository, or "" when the site does not hold it."""
    for candidate in (source, f"{source}/README.md", f"{source}/index.md"):
        for address, outside in OUTSIDE.items():
            if outside == candidate:
                return address
        if candidate.startswith("docs/") and files.get_file_from_path(candidate.removeprefix("docs/")) is not None:
            return candidate.removeprefix("docs/")
    return ""


def blocks(markdown: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of a page in order, each with whether it is fenced code."""
    fences: list[Any] = list(_FENCE.finditer(markdown))
    at = 0
    for opening, closing in zip(fences[::2], fences[1::2], strict=False):
        yield False, markdown[at : opening.start()]
        yield True, markdown[opening.start() : closing.end()]
        at = closing.end()
    yield False, markdown[at:]
