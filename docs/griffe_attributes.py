"""Extension of griffe: in "Attributes:", each attribute has its own type or none.

griffe 2.0 gives an attribute without annotation the type of the one before it.
"""

from __future__ import annotations

from typing import Any

import griffe


class AttributeTypes(griffe.Extension):
    """Look the types up again."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Once all members of a class are known."""
        if cls.docstring is None:
            return
        options: Any = {"warn_missing_types": False, "warn_unknown_params": False}
        sections = cls.docstring.parse("google", **options)
        for section in sections:
            if isinstance(section, griffe.DocstringSectionAttributes):
                for item in section.value:
                    member = cls.members.get(item.name)
                    item.annotation = getattr(member, "annotation", None)
        cls.docstring.__dict__["parsed"] = sections
