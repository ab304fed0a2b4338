"""The commands. Each is a function in a module, both of the same name."""

from __future__ import annotations

# Name -> heading in the help.
COMMANDS = {
    "predict": "Everyday",
    "timeline": "Everyday",
    "plot": "Everyday",
    "listen": "Everyday",
    "page": "Everyday",
    "demo": "Everyday",
    "serve": "Everyday",
    "scan": "Music libraries",
    "tag": "Music libraries",
    "mix": "Music libraries",
    "playlist": "Music libraries",
    "compare": "Music libraries",
    "library": "Music libraries",
    "models": "Models",
    "evaluate": "Models",
    "calibrate": "Models",
    "confidence": "Models",
    "export": "Models",
    "train": "Training",
    "data": "Training",
    "completion": "Shell",
}
DEFAULT_COMMAND = "predict"
# "stonekey help COMMAND" is "stonekey COMMAND --help".
HELP = "help"
VERBOSE = "--verbose"
GROUP_OPTIONS = ("--help", "-h", "--version", VERBOSE)
# Set by the scripts of "stonekey completion" when the shell asks for completions.
COMPLETION_VARIABLE = "_STONEKEY_COMPLETE"
