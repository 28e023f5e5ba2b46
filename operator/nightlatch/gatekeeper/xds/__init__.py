"""What Envoy should have, and what it has accepted.

`program.py` compiles documents and holds into resources; the ADS server sends them and learns of ACKs and NACKs. Only
`server.py` does I/O. Start with `program.py`; `stream.py` is the protocol with one Envoy.
"""
