"""The Kubernetes API server: JSON requests and watches, and live copies of collections.

This package alone imports the kubernetes client. It decides nothing about our own objects and writes only what its
callers send. Start with `client.ApiServer`; `cache.ObjectCache` is what most readers use.
"""
