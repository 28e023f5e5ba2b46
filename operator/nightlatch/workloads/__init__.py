"""The workloads seam: runs what serves an endpoint, and observes it.

`protocol.py` is the interface; `kubernetes/` implements it with Deployments and `processes/` with local processes. The
two do not import each other. Start with `protocol.py`.
"""
