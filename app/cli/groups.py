"""A group of verbs that lists when no verb is given: `aurea tasks` is `aurea tasks list`."""

from typing import Any

from typer.core import TyperGroup

LISTING = "list"
_HELP = ("--help", "-h")


class ListingGroup(TyperGroup):
    """Takes options without a verb as options of `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in _HELP):
            args = [LISTING, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the options of `list` too: they can be given without the verb."""
        super().format_help(ctx, formatter)
        listing = self.commands[LISTING]
        listing.format_help(listing.make_context(LISTING, [], parent=ctx, resilient_parsing=True), formatter)
