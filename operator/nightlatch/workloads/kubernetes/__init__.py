"""Workloads in a cluster: a Deployment for each endpoint, and the objects that belong to it.

It applies objects where they differ from what `planning/objects` builds, and reads pods and objects from live copies.
Everything goes through `nightlatch.kube`. Start with `workloads.py`.
"""
