"""Where our objects and Secrets are kept: the seam `protocol.Store`, and its implementations over Kubernetes and files.

A store validates what it is given and decides nothing else. `kubernetes/` may use the API client, `files/` the state
directory; neither imports the other. Start with `protocol`; an Informer follows a `source.StoreSource`.
"""
