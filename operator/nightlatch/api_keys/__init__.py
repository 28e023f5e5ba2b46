"""Decides what an API key looks like: how to create one, how to check its form, and the digest that we store instead.

Imports nothing of ours and does no I/O; the caller hands in the randomness.
Start with the docstring of `api_key.py`, which specifies the format.
"""

from nightlatch.api_keys.api_key import ApiKeyText, MalformedKeyError, ParsedKey, digest, mint, parse

__all__ = ["ApiKeyText", "MalformedKeyError", "ParsedKey", "digest", "mint", "parse"]
