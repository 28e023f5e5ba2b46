"""Decides everything about one InferenceEndpoint: route document, certificates, workload and status.

Pure functions of the parsed endpoint, of `Observed` and of the time; the controller applies the result.
Start with `plan.py`; `conditions.py` begins with the chains that make up the status.
"""
