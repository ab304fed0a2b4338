"""What differs between systems before a command runs: its words and its streams."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Iterable


def prepare_streams() -> None:
    """Let every name and colour be printed, whatever the encoding and the console.

    A pipe or file gets UTF-8 on every system, a terminal its own encoding.
    """
    for stream in (sys.stdout, sys.stderr):  # file names may hold any bytes
        if isinstance(stream, io.TextIOWrapper):
            own = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=own, errors="backslashreplace")
    if os.name == "nt":
        import colorama

        colorama.just_fix_windows_console()  # older ones show escapes as letters


def expanded(words: Iterable[str]) -> list[str]:
    r"""The words of a command line with the files in place of ``*.mp3``.

    Shells of other systems do that; Windows leaves it to the command, and also the quotation mark
    that ``"D:\My Music\"`` ends in there.
    """
    if os.name != "nt":
        return list(words)
    found: list[str] = []
    for word in words:
        name = word if word.startswith("-") else word.rstrip('"')
        matches = []
        if not name.startswith("-") and ("*" in name or "?" in name):
            # A bracket is part of a name: [2001] Discovery\*.mp3.
            matches = sorted(glob.glob(name.replace("[", "[[]")))
        found += matches or [name]
    return found
