"""The error that this package raises for a person to read."""


class NodeError(Exception):
    """A problem that the user can solve; the text says how."""
