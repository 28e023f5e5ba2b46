"""Decides who may use which endpoint: grants, the key list of a route document, and what a change takes away.

Pure: it imports the API's types, the parsed objects and the route document's types.
Start with `grants.refusal()`, which is read from both ends of a grant.
"""
