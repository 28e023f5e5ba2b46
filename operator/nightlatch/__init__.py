"""Nightlatch: inference endpoints that sleep at zero and wake only for authenticated callers.

The packages below are layers: `api` at the bottom, `cli` at the top, and `docs/architecture.md` draws them. What a package
decides, and what it may touch, is said in its own docstring; import-linter checks the imports. Start with `planning`
for what the operator wants, with `controller` for how it gets there, and with `gatekeeper` for what a gateway does.
"""
