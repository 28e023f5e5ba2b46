"""How bytes reach the server: sockets, TLS and the parsing of requests, whatever they ask for.

It decides who may connect and how large a request may be, and may touch sockets and certificate files, but no model.
Start reading in `http/listener.py`.
"""
