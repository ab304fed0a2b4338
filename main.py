"""``python -m main``: training, by the command that the published code documents.

The same as ``stonekey train``, flags included.
"""

import sys

from stonekey.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
