"""The control plane of one gateway: programs its Envoy, holds calls of sleeping endpoints, reports to the leader.

It reads route documents from the store and replicas from the platform, both read-only, and never touches a call that
Envoy does not ask about. Start with `gatekeeper.py`, then read `hold/endpoint.py`.
"""
