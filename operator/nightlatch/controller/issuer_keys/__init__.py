"""Fetches the keys of token issuers from their providers, and remembers the newest.

It opens HTTPS connections to addresses that the administrator allows, and writes nothing: what becomes of the keys,
`planning/issuer/` decides. Start with `key_sets.py`.
"""
