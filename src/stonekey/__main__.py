"""``python -m stonekey``: the same as the command ``stonekey``."""

from stonekey.cli import main

if __name__ == "__main__":
    main()
