"""The operator: decides in which order objects are reconciled, and carries out what `planning` and `scaling` decide.

It reaches the world through the store and the workloads, and dials the gateways; only `cluster` knows Kubernetes.
Start with `controller.Controller`, then read `reconcilers/endpoint.py` and `autoscaling/autoscaler.py`.
"""
