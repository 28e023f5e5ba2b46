"""Decides about the installation's own PKI: root, issuing CA, and the certificates of the gateways and the operator.

Pure: it reads CAs with `pki`, and only asks for new keys, which `controller/apply.py` makes.
Start with `plan.plan_installation()`.
"""
