"""Build the page and put it into the package: ``python page/build.py``. Needs Node and npm."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = HERE.parent / "src" / "stonekey" / "page" / "files"
PACKED = ".wasm"


def build(output: Path) -> None:
    """Build the plain files into a folder, installing npm packages where they are missing."""
    if not (HERE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    subprocess.run(["npm", "run", "--silent", "check"], cwd=HERE, check=True)
    subprocess.run(["node", "build.mjs", str(output)], cwd=HERE, check=True)


def main() -> None:
    """Replace the package's files; what is packed stays if its contents do."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder, "page")
        build(built)
        FILES.mkdir(exist_ok=True)
        wanted = set()
        for path in sorted(built.iterdir()):
            target = FILES / path.name
            if path.suffix == PACKED:
                target = FILES / f"{path.name}.xz"
                data = path.read_bytes()
                if not (target.exists() and lzma.decompress(target.read_bytes()) == data):
                    target.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
            else:
                shutil.copyfile(path, target)
            wanted.add(target)
        for path in FILES.iterdir():
            if path not in wanted:
                path.unlink()


if __name__ == "__main__":
    main()
