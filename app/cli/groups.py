"""A group of verbs that lists when no verb is given: `aurea tasks` is `aurea tasks list`."""

from typing import Any

from typer.core import TyperGroup

_HELP = ("--help", "-h")


class ListingGroup(TyperGroup):
    """Takes options without a verb as options of `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in _HELP):
            args = ["list", *args]
        return super().parse_args(ctx, args)
