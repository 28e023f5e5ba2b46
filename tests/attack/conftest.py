"""What the attacks share with the embedded tests: the gate, a model package, and a running `up`."""

from tests.embedded.conftest import gate, lasting, tiny

__all__ = ["gate", "lasting", "tiny"]
