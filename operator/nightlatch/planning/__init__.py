"""Decides, from what was observed, which objects must exist and what each status says.

Pure: no I/O, no clock and no randomness of its own; it imports only the layers below it (api, wire, pki, scaling).
Start with `inputs.py` (what the plans see), `plan.py` (what they return) and `endpoint/plan.py`; the same file names
mean the same thing in `endpoint/`, `client/` and `issuer/`.
"""
