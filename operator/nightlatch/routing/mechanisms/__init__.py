"""How clients prove who they are: one file for each mechanism, which says what of a route document becomes policy.

A mechanism is pure and knows no other mechanism. The gate (`gate/src/mechanisms/`) has the other half of each, which
checks a call against that policy. Start with `api_key.py`.
"""
