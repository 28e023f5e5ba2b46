"""Turns route documents into Envoy's configuration: documents -> IR (`translate.py`, `ir.py`) -> xDS (`xds*.py`).

It decides which endpoint has a host, who may call what, and in what order the filters run. It is pure, and only its
`xds*` modules import protobuf. Start with `ir.py`, then `translate.py`, then `xds.py`.

Two kinds of `xds_*` modules: `xds_listener`, `xds_filters` and `xds_replies` write dicts that are parsed into messages.
They are built once, parsing is slow, and some of their types (certificate selectors) are in no Python package. The
others are built again for each change of an endpoint, so they fill protobuf messages directly, which is fast and typed.
"""
