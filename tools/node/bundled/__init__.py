"""Runs one Kubernetes node on this machine, in namespaces of its own, and undoes every change when it ends.

`node.py` works from outside: it starts process 1, writes down what `down` must undo, and stops it again.
`inside.py` is process 1, which starts the components; start reading in `node.py`.
"""
