"""The commands by name."""

from __future__ import annotations

# Name of a command -> its module, which holds a function of the command's name.
COMMANDS = {
    "predict": "stonekey.cli.predict",
    "models": "stonekey.cli.models",
    "scan": "stonekey.cli.scan",
    "tag": "stonekey.cli.tag",
    "export": "stonekey.cli.export",
    "calibrate": "stonekey.cli.calibrate",
    "demo": "stonekey.cli.demo",
    "train": "stonekey.cli.train",
    "data": "stonekey.cli.data",
    "evaluate": "stonekey.cli.evaluate",
    "timeline": "stonekey.cli.timeline",
    "plot": "stonekey.cli.plot",
    "mix": "stonekey.cli.mix",
    "playlist": "stonekey.cli.playlist",
    "completion": "stonekey.cli.completion",
}
DEFAULT_COMMAND = "predict"
GROUP_OPTIONS = ("--help", "-h", "--version")
# Set by the scripts of "stonekey completion" when a shell asks what could follow.
COMPLETION_VARIABLE = "_STONEKEY_COMPLETE"
