"""The `nightlatch.dev/v1alpha1` API: the models of the three kinds, their validation and the CRDs made from them.

Decides what an object may contain, which names and conditions exist, and which operations need which permission.
It is pure, except that `crd.generate` writes files, and it imports nothing else of Nightlatch.
Start with `endpoint.py` (the models), then `validation/parse.py` and `crd/generate.py`.
"""
