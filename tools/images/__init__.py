"""Builds the project's images with buildah, without a registry, and loads them into a cluster.

An image is built once for each state of its inputs (`inputs.py`), from the same Dockerfile that users build.
Start reading in `cli.py`; `loading.py` shares layers with the bundled node instead of copying them.
"""
