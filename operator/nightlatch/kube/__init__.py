"""The Kubernetes API server as both seams see it: JSON in, JSON out, over the official client."""
