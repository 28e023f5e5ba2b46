"""HTTP/1.1, with or without mutual TLS: bytes become a `Request`, and a `Response` becomes bytes.

It decides when a connection is admitted, refused, kept open or closed, and may touch sockets and the three TLS files.
Start reading in `listener.py`, then `connection.py`.
"""
