"""Builders of the Kubernetes objects that run one endpoint: one kind, one file. Pure; `workloads` applies them."""
