"""Builds what a node runs, once for each state of its inputs: Go programs, the Debian base image, image archives.

Everything is kept in the user's cache under a hash of its inputs, and no running cluster is touched.
Start reading in `programs.py`, which lists the programs; `go_build.py` builds one.
"""
