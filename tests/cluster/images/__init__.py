"""The project's images for the bundled node: built by buildah once for each state of their inputs, and shared with it.

`images/Dockerfile` is what users build; this builds the same file on Debian's packages, without a registry.
"""
