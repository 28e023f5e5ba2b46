"""Nightlatch's model server: one process, one model package, HTTP in front of torch.

Nothing here imports `nightlatch`; nothing but `architectures/` imports torch, and that only once the server listens.
"""

__version__ = "0.1.0"
