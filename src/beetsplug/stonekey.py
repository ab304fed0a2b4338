"""The beets plugin ``stonekey``, which fills the field ``initial_key``.

beets looks for plugins in the namespace package ``beetsplug``.
"""

from __future__ import annotations

import optparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from beets import ui, util
from beets.plugins import BeetsPlugin
from beets.ui import UserError  # type: ignore[attr-defined]

from stonekey.keys import NO_KEY, non_key
from stonekey.model.registry import DEFAULT_MODEL
from stonekey.tags.base import parsed

if TYPE_CHECKING:
    from beets.importer import ImportSession, ImportTask
    from beets.library import Item, Library

    from stonekey.estimate.estimator import KeyEstimator


# beets spells initial_key in one way only (D#m, never Ebm or 2A); these get their own fields.
NOTATIONS = ("none", "camelot", "openkey")


class StonekeyPlugin(BeetsPlugin):
    """Finds keys on import and with ``beet stonekey [QUERY]``."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {
                "auto": True,
                "model": DEFAULT_MODEL,
                "overwrite": False,
                "write": True,
                "min_confidence": 0.0,
                "notation": "none",
            }
        )
        self._loaded: KeyEstimator | None = None
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]

    def commands(self) -> list[ui.Subcommand]:
        """The plugin's command, for beets."""
        command = ui.Subcommand("stonekey", help="find the key of the music (initial_key)")
        command.parser.add_option(
            "-f", "--force", action="store_true", help="replace existing keys"
        )
        command.parser.add_option(
            "-p", "--pretend", action="store_true", help="show keys without storing them"
        )
        command.func = self.command
        return [command]

    def command(self, lib: Library, opts: optparse.Values, args: list[str]) -> None:
        """``beet stonekey [QUERY]``."""
        write = ui.should_write() and self.config["write"].get(bool)
        overwrite = opts.force or self.config["overwrite"].get(bool)
        self.find_keys(lib.items(args), write, overwrite, bool(opts.pretend))

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        """Find the keys of imported files; beets itself writes their tags if configured to."""
        try:
            self.find_keys(task.imported_items(), False, self.config["overwrite"].get(bool))
        except UserError as error:  # a model that cannot be loaded must not end an import
            self._log.error("{}", error)

    def find_keys(
        self, items: Iterable[Item], write: bool, overwrite: bool, pretend: bool = False
    ) -> None:
        """Fill ``initial_key``; log files that cannot be read and go on with the rest."""
        least = self.config["min_confidence"].as_number()
        notation = self.config["notation"].as_choice(NOTATIONS)
        for item in items:
            if (text := item["initial_key"]) and not overwrite:
                if parsed(text) is None and non_key(text) != NO_KEY:
                    name = util.displayable_path(item.path)
                    self._log.warning("kept, not a key: {}: {}", text, name)
                continue
            estimator = self._estimator()
            try:
                estimate = estimator(Path(util.syspath(item.path)))
            except Exception as error:  # one bad file must not end an import
                self._log.error("{}", error)
                continue
            name = util.displayable_path(item.path)
            if estimate.key is None:
                self._log.info("no key: {}", name)
            elif estimate.confidence < least:
                self._log.info("not sure of {} ({:.0%}): {}", estimate, estimate.confidence, name)
            else:
                item["initial_key"] = estimate.key.format("short")
                if notation != "none":
                    item[notation] = estimate.key.format(notation)
                if pretend:
                    ui.print_(f"{item['initial_key']} ({estimate.confidence:.0%}): {name}")
                    continue
                self._log.info("{} ({:.0%}): {}", estimate, estimate.confidence, name)
                if write:
                    item.try_write()
                item.store()

    def _estimator(self) -> KeyEstimator:
        """The estimator, loaded for the first file.

        Raises:
            UserError: the model cannot be loaded, or only finds key signatures.
        """
        if self._loaded is None:
            from stonekey.estimate.estimator import KeyEstimator
            from stonekey.model.checkpoint import CheckpointError

            model = self.config["model"].as_str()
            try:
                estimator = KeyEstimator(model)
            except (CheckpointError, OSError) as error:
                raise UserError(f"stonekey: {error}") from error
            if len(estimator.class_table) != 24:
                raise UserError(f"stonekey: {model} finds key signatures, not keys")
            self._loaded = estimator
        return self._loaded
