"""Generates the CustomResourceDefinitions in `crds/` from the models, and defines the columns of `kubectl get`.

Only `generate.py` writes files; it is run by `make generate`, and checked by `make check`.
Start with `generate.py`; `schema.py` does the conversion to the form that an API server accepts.
"""
