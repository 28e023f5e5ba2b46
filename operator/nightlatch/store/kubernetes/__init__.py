"""The store over the Kubernetes API.

It translates paths, errors and watches, and leaves every decision to the API server. It reaches the server through
`nightlatch.kube` alone. Start with `store.KubernetesStore`.
"""
