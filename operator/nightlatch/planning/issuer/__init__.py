"""Decides about one TokenIssuer: where its keys come from, which of them count, and what gateways are told of it.

Pure functions of the parsed issuer, of what was fetched and of the time.
Start with `plan.py`.
"""
