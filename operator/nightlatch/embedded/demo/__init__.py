"""`nightlatch demo`: shows the main promises on real processes, and fails if one is not kept.

It starts `nightlatch up` as a user would and observes it only from outside: calls, processes, counters, objects.
Start with `steps.py`; `probe.py` does the observing.
"""
