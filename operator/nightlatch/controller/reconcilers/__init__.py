"""One reconciler for each kind of object and one for the installation: observe, plan, apply, write the status.

They decide nothing themselves: `planning` does. They read through the Context and the Index, and write by the Applier.
Start with `endpoint.py`.
"""
