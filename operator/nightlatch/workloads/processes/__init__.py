"""Workloads on one machine: each replica is a child process on loopback.

It starts, watches and ends processes, and keeps their state in files that a gatekeeper reads from its own process.
Start with `workloads.py`; the files are in `files.py`.
"""
