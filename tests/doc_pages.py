"""The pages of the documentation, their fenced blocks and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (
        *sorted(ROOT.glob("*.md")),
        ROOT / "js/README.md",
        ROOT / "recipes/LOG.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "src/stonekey/model/weights").glob("*.md")),
    )
}
# First words of what a shell is given; a block without a language that begins with none is data.
PROGRAMS = (
    ".", "beet", "curl", "docker", "echo", "eval", "mkdir", "mkdocs", "npm", "node", "npx", "pip",
    "python", "python3", "stonekey", "torchrun", "#SBATCH", "srun",
)  # fmt: skip
_FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str  # "sh" where the text is for a shell
    text: str

    @property
    def lines(self) -> list[str]:
        """Commands of a block for a shell, continued lines joined."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        return [line.strip() for line in joined.splitlines() if line.strip()]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for indent, language, text in _FENCE.findall(PAGES[page].read_text("utf-8")):
        text = re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        first = text.split(maxsplit=1)[0] if text.strip() else ""
        if language in ("bash", "console", "shell") or (not language and first in PROGRAMS):
            language = "sh"
        found.append(Block(page, language or "data", text))
    return found


def links(page: str) -> list[str]:
    """Targets of the links and pictures of a page, outside its fenced blocks."""
    text = _FENCE.sub("", PAGES[page].read_text("utf-8"))
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and MkDocs make them."""
    text = _FENCE.sub("", path.read_text("utf-8"))
    made = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        made.add(re.sub(r"[^\w\s-]", "", words).strip().lower().replace(" ", "-"))
    return made
