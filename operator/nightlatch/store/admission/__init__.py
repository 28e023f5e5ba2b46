"""Decides whether the files store accepts an object, with the defaults and refusals of the generated CRD schemas.

It does for files what the API server does for a cluster: defaults, validation, CEL rules, versions. It is pure: it does
no I/O and imports no Kubernetes client. Start with `schema.py`.
"""
