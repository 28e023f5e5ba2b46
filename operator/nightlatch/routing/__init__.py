"""Turns route documents into Envoy's configuration: documents -> IR (`translate.py`, `ir.py`) -> xDS (`xds/`).

It decides which endpoint has a host, who may call what, and in what order the filters run. It is pure, and only its
package `xds` imports protobuf. Start with `ir.py`, then `translate.py`, then `xds/snapshot.py`.
"""
