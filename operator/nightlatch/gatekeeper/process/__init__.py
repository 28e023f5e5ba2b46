"""The gatekeeper as a process: configuration, sockets, metrics, and the commands that run beside it in a gateway pod.

Only this package opens sockets and files for the gatekeeper and chooses the implementations of store and workloads.
Start with `service.py`.
"""
