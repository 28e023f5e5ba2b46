"""Nightlatch: inference endpoints that sleep at zero and wake only for authenticated callers.

The packages below are layers, from `api` at the bottom to `cli` at the top; `docs/architecture.md` draws them. What a
package decides, and what it may touch, is said in its own docstring; import-linter checks the imports. Start with
`planning` for what the operator wants, `controller` for how it gets there, and `gatekeeper` for what a gateway does.
"""
