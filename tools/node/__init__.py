"""A Kubernetes cluster for tests and for people without Docker: `python -m tools.node --help`.

`artifacts` builds the programs and the base image once, `bundled` runs them as one node on this Linux machine, and
`borrowed` uses kind or the current kubectl context instead. Start reading in `cli.py`.
"""
