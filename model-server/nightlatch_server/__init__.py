"""Nightlatch's model server: one process that serves one model package over HTTP with torch.

It imports nothing of the operator, and torch is imported only by the models, after the ports accept connections.
Start reading in `server`, which wires the parts together; `.importlinter` at the root shows how they are layered.
"""

__version__ = "0.1.0"
