"""The one error that this package raises for a person to read."""


class NodeError(Exception):
    """Something a person can act on; its text says what to do."""
