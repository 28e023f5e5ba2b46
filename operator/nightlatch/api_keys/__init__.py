"""API keys: mint one, read one, the digest kept in its place. Pure but for randomness handed in."""

from nightlatch.api_keys.api_key import ApiKeyText, MalformedKeyError, ParsedKey, digest, matches, mint, parse

__all__ = ["ApiKeyText", "MalformedKeyError", "ParsedKey", "digest", "matches", "mint", "parse"]
