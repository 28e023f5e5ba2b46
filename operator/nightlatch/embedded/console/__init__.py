"""What `nightlatch up` shows: changes of status as lines, and how to make the first call.

Decides which changes are worth a line; `lines.py` and `snippets.py` are pure, `printer.py` follows the store, and
`credentials.py` writes each client's key, URL and CA to files.
Start with `printer.py`.
"""
