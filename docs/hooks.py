"""Hooks of MkDocs: pages that are made from the program and from files outside docs/."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# File of the repository -> page of the site, for what is not in docs/.
INCLUDED = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "recipes/LOG.md": "explanation/log.md",
    "src/stonekey/model/weights/stone12.md": "reference/stone12.md",
    "src/stonekey/model/weights/stone24.md": "reference/stone24.md",
    "js/README.md": "reference/web.md",
    "README.md": "README.md",
}
COMMANDS_PAGE = "reference/cli.md"
_FLAG = re.compile(r"(?<![\w`-])(--[a-z][a-z-]*)")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that no file of docs/ holds."""
    for source, page in INCLUDED.items():
        if source != "README.md":
            text = relinked((ROOT / source).read_text("utf-8"), source, page)
            files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, COMMANDS_PAGE, content=commands()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that leave docs/ into links to pages, or into plain text."""
    if page.file.src_uri in (COMMANDS_PAGE, *INCLUDED.values()) and page.file.generated_by:
        return markdown
    return relinked(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)


def on_post_build(config: Any) -> None:
    """Stop if a page of the site fetches anything from elsewhere."""
    for path in Path(config.site_dir).rglob("*.html"):
        if found := fetched(path.read_text("utf-8")):
            raise PluginError(f"{path.name} fetches {', '.join(found)}")


def fetched(html: str) -> list[str]:
    """Addresses elsewhere of scripts, styles, fonts and pictures of a page."""
    tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", html)
    return [a for tag in tags for a in re.findall(r'(?:src|href)="((?:https?:)?//[^"]+)"', tag)]


def relinked(text: str, source: str, page: str) -> str:
    """Links of a file of the repository, as they should be in a page of the site.

    Args:
        text: Markdown.
        source: path of the file that it is from, in the repository.
        page: path of the page that it becomes, below docs/.
    """

    def link(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return found[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if f"{there}/README.md" in INCLUDED:
            there += "/README.md"
        if there in INCLUDED:
            at = INCLUDED[there]
        elif there.startswith("docs/"):
            at = there.removeprefix("docs/")
        elif (ROOT / there).exists():
            return words  # a file that has no page
        else:
            return found[0]  # for MkDocs to complain about
        relative = posixpath.relpath(at, posixpath.dirname(page) or ".")
        return f"{image}[{words}]({relative}{'#' + anchor if anchor else ''})"

    return _LINK.sub(link, text)


def commands() -> str:
    """The page of all commands and their options, from the parser itself."""
    os.environ.setdefault("COLUMNS", "100")
    from typer.main import get_command

    from stonekey.cli import make_app
    from stonekey.cli.commands import COMMANDS

    group: Any = get_command(make_app(list(COMMANDS)))
    parts = [
        "# Commands\n",
        "`stonekey FILE|FOLDER ...` is short for `stonekey predict FILE|FOLDER ...`. "
        "This page is made from the program: it is what `stonekey COMMAND --help` says.\n",
    ]
    panels: dict[str, list[str]] = {}
    for name, panel in COMMANDS.items():
        panels.setdefault(panel, []).append(name)
    for panel, names in panels.items():
        parts.append(f"## {panel}\n")
        for name in names:
            command = group.commands[name]
            parts.append(_command(f"stonekey {name}", command))
            for sub, inner in getattr(command, "commands", {}).items():
                parts.append(_command(f"stonekey {name} {sub}", inner))
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:
    text, *examples = re.split(r"^For example:\s*$|^Examples:\s*$", command.help or "", flags=re.M)
    lines = [f"### {name}\n", _FLAG.sub(r"`\1`", text.strip()) + "\n"]
    if getattr(command, "commands", None):
        return "\n".join(lines)
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    lines.append(f"```text\n{usage}\n```\n")
    rows = [_option(p) for p in command.params if not getattr(p, "hidden", False)]
    if rows:
        lines += ["| | | default |", "|---|---|---|", *rows, ""]
    if examples:
        shown = re.sub(r"\n\s*\n", "\n", examples[0].strip("\n"))
        shown = re.sub(r"^ +", "", shown, flags=re.M)
        lines.append(f"For example:\n\n```sh\n{shown.strip()}\n```\n")
    return "\n".join(lines)


def _option(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        flags = [*parameter.opts, *parameter.secondary_opts]
        name = ", ".join(f"`{flag}`" for flag in sorted(flags, key=lambda f: (f[1] != "-", f)))
    default = parameter.default
    shown = "" if default in (None, False, (), []) or callable(default) else f"`{default}`"
    text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    text = _FLAG.sub(r"`\1`", text)
    return f"| {name} | {text} | {shown} |"
