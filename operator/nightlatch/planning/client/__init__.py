"""Decides everything about one InferenceClient: the Secret with its API key, and its status.

Pure functions of the parsed client, of `ObservedClient` and of the time; the controller creates the key itself.
Start with `plan.py`; `conditions.py` begins with the chains that make up the status.
"""
