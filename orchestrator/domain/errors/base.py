"""The root of the tree."""


class AureaError(Exception):
    """Base of the tree; `code` is stable and public."""

    code = "internal"
