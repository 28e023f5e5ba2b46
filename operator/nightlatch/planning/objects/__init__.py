"""Decides what the Kubernetes objects that run one endpoint's model server look like: one kind, one file.

Pure functions from a `Workload` to a manifest; `workloads/kubernetes` applies them, and golden files hold the results.
Start with `deployment.py` and `pod.py`.
"""
