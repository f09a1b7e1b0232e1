"""A group of verbs that lists, or shows, when no verb is given: `aurea tasks` is `aurea tasks list`."""

from typing import Any

from typer.core import TyperGroup

_HELP = ("--help", "-h")


class ListingGroup(TyperGroup):
    """Takes options without a verb as options of its first verb."""

    first = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in _HELP):
            args = [self.first, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the options of the first verb too: they can be given without it."""
        super().format_help(ctx, formatter)
        listing = self.commands[self.first]
        listing.format_help(listing.make_context(self.first, [], parent=ctx, resilient_parsing=True), formatter)
