"""What processes say to each other and to callers, each fact once: route documents, reports, xDS types, errors.

It decides what a valid message is, and refuses any other. It imports only `api`; only `generate.py` does I/O.
Start with `route_document.py`, which is all that a gateway knows of an endpoint, and `caller_errors.yaml`.
"""
