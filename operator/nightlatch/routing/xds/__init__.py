"""Turns the IR into the resources that Envoy subscribes to. It decides nothing about callers; it only writes messages.

It is pure, and the only part of `routing` that imports protobuf. Start with `snapshot.py`, which calls the others.

Two kinds of modules: `bootstrap`, `listener`, `filter_chain` and `local_replies` write dicts that are parsed into
messages. They are built once, parsing is slow, and some of their types are in no Python package. The others are built
again for each change of an endpoint, so they fill protobuf messages directly, which is fast and typed.
"""
