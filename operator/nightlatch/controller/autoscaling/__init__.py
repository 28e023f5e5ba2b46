"""The leader's autoscaler: it decides by `scaling` how many replicas each endpoint has, and is the only one to scale.

It observes and scales workloads, and keeps a report stream to every gateway over gRPC; it does not read the store.
Start with `autoscaler.Autoscaler`; `runtime_status` is what the reconcilers see of it.
"""
