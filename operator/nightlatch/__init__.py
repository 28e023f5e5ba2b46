"""Nightlatch: inference endpoints that sleep at zero and wake only for authenticated callers."""
