"""What MkDocs is told beyond `mkdocs.yml`: pages that don't lie in `docs/`, and links as they are right in a checkout.

Nothing is copied: the README and its neighbours are read where they lie. A link leads to the page that is made of its target.
Where the target is in the checkout and no page, its path is shown instead. What is neither is left alone, so that `--strict`
fails for it.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

# Files of the checkout that are pages, and where they are in the site.
ELSEWHERE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "crates/crucible-scan/rules/FORMAT.md": "scanner-rule-format.md",
    "crates/crucible-attacks/scenarios/KINDS.md": "attack-scenario-format.md",
}

_LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s:#]+)(?P<anchor>#[^()\s]*)?\)")
_ITEM = re.compile(r"^(?:[-*]|\d+\.) ")
_INNER_ITEM = re.compile(r"^( +)(?=[-*] )")
_FENCE = re.compile(r"^ *(```|~~~)")


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as lines:
        return lines.readline().removeprefix("#").strip()


def _decisions() -> list[tuple[str, str]]:
    return [(_title(path), path.name) for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))]


def on_config(config: MkDocsConfig) -> None:
    """Fills the section of decisions, so that a new one needs no line anywhere."""
    for section in config.nav or []:
        if "Decisions" in section:
            section["Decisions"] += [{title.replace("`", ""): f"decisions/{name}"} for title, name in _decisions()]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages from outside of `docs/`."""
    for source, uri in ELSEWHERE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    listed = "".join(f"- [{title.partition('. ')[2] or title}]({name})\n" for title, name in _decisions())
    text = f"# Decisions\n\nWhat was decided, why, and what else there would have been.\n\n{listed}"
    files.append(File.generated(config, "decisions/index.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to pages, as a checkout's lead to files."""
    uri = page.file.src_uri
    sources = {target: source for source, target in ELSEWHERE.items()}
    folder = os.path.dirname(sources.get(uri, f"docs/{uri}"))

    def led(link: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(folder, link["target"]))
        found = ELSEWHERE.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        if found == "decisions":
            found = "decisions/index.md"
        if found and files.get_file_from_path(found):
            there = os.path.relpath(found, os.path.dirname(uri) or ".")
            # A page is called by its title, where it is called by its file's name in the checkout.
            text = _title(ROOT / target) if link["text"] == link["target"] and (ROOT / target).is_file() else link["text"]
            return f"[{text}]({there}{link['anchor'] or ''})"
        if (ROOT / target).exists():
            return link["text"] if target in link["text"] else f"{link['text']} (`{target}`)"
        return link[0]

    fenced = listed = False
    before = ""
    lines = []
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            # A list may follow its paragraph at once; Python's Markdown wants an empty line there.
            item = _ITEM.match(line)
            if item and before and not listed:
                lines.append("")
            listed = bool(line) and (listed or bool(item))
            # A list in a list may be indented by two; Python's Markdown wants four.
            line = _INNER_ITEM.sub(r"\1\1", line)
            line = _LINK.sub(led, line)
        lines.append(line)
        before = line.strip()
    return "\n".join(lines)
