"""``stonekey page``: write the page that finds keys in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stonekey.cli.common import exit_on_error, fail
from stonekey.text import log


def page(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Write into this folder, which is created.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Write even if the folder holds other files; they stay.")
    ] = False,
) -> None:
    """Write the page that finds keys in the browser, for any web host.

    The folder then holds a static site that works under any address, needs nothing else and sends
    no music anywhere. Run it again to bring an older one up to date. To see it here, without a
    host, run "stonekey serve".

    Exit code: 0 when everything is written, 2 for bad usage.

    For example:

      stonekey page --output site/

      python -m http.server --directory site/
    """
    if output.exists() and not output.is_dir():
        fail(f"{output} is a file, not a folder to write into")
    with exit_on_error():
        from stonekey.page import ForeignFilesError, write

        try:
            written = write(output, force)
        except ForeignFilesError as error:
            fail(f"{error}; --force writes there all the same")
        size = sum(path.stat().st_size for path in written) / 1e6
    log(f"stonekey: {output}: {len(written)} files, {size:.1f} MB")
