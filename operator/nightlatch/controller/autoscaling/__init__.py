"""The leader's autoscaler: it decides by `scaling` how many replicas each endpoint has, and is the only one to scale.

It observes and scales workloads, keeps a report stream to every gateway over gRPC, and reads no object of the store but
the operator's own certificate. Start with `autoscaler.Autoscaler`; the reconcilers see the result in `runtime_status`.
"""
