"""Decides the status of one TokenIssuer, which has no other effect yet.

A pure function of the parsed issuer and of the time.
Start with `plan.py`.
"""
