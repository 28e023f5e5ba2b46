"""A Kubernetes node of our own for tests, and for people without Docker: `python -m tests.cluster.node --help`."""
