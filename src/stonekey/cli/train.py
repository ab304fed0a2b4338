"""``stonekey train``: train a model on a folder or manifest of music."""

from __future__ import annotations

import os
import sys

import typer

from stonekey.cli.common import exit_on_error, fail, needs_extra
from stonekey.cli.interrupt import killed_after_interrupt
from stonekey.cli.options import with_settings
from stonekey.text import log
from stonekey.training.options import Options


@with_settings()
def train(*, options: Options) -> None:
    """Train a model on your own music, without labels.

    Needs the extra "train". If interrupted, run the same command again to resume. At the end,
    the best model is calibrated and exported; to use it, run
    "stonekey FILE --model SAVE_DIR/models/TRAIN_TYPE/CIRCLE/NAME/best".

    Examples:

      stonekey train -n basic -tt ks -g config/ks.gin --data ~/Music

      stonekey train -n semi -tt ks_mode -g config/ks_mode.gin --data tracks.csv

      stonekey train -n try --data ~/Music -e 20 -ts 100 -b "data.batch_size = 16"
    """
    with needs_extra("train"):
        from stonekey.data.cache import CacheError
        from stonekey.training.loop import DivergedError
        from stonekey.training.progress import progress
        from stonekey.training.run import train as run
    with exit_on_error():
        if os.getcwd() not in sys.path:  # for modules that gin files import, as python -m has it
            sys.path.insert(0, os.getcwd())
        total = options.n_epochs * options.train_steps
        try:
            with killed_after_interrupt(_stopped), progress(total) as report:
                run(options, report)
        except (DivergedError, CacheError) as error:
            fail(str(error), 1)
        except KeyboardInterrupt:
            raise typer.Exit(_stopped()) from None


def _stopped() -> int:
    """Report that the run was stopped; returns the exit code."""
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return 0  # rank 0 reports, and torchrun would kill it if this rank failed
    log("stonekey: stopped; run the same command again to resume from the last checkpoint")
    return 130
