"""Fetches identity providers for the tests from the registries of their languages, once for each version.

They are kept in the user's cache. `keycloak.py` needs Java and Maven, `oidc_provider.py` needs Node.js with npm.
"""
