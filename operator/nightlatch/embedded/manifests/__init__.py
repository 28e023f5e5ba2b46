"""Reads manifest files and makes the store contain what they declare.

Decides which objects a set of files declares, and which objects to delete because no file declares them any more.
It reads files and writes to the store; every problem names the file, the document and the field.
Start with `documents.py`, then `apply.py`.
"""
