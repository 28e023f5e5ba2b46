"""The operator's process in a cluster: configuration, leader election, probes, and the parts put together.

This is the only part of the controller that knows the Kubernetes API; kopf is imported by `kopf_watch` alone.
Start with `main.run()`.
"""
