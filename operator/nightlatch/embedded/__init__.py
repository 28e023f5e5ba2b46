"""`nightlatch up` and `nightlatch demo`: all of Nightlatch as local processes, from the manifests that a cluster takes.

Decides the order of starting and stopping; it starts processes, opens ports and reads and writes the state directory.
Every other package but `cli` is below it and may be imported.
Start with `up.py`; `manifests/` reads files, `console/` prints, `control.py` and `gateway.py` are the two halves.
"""
