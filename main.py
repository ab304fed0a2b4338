"""``python -m main``: the published code's training command; same as ``stonekey train``."""

import sys

from stonekey.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
