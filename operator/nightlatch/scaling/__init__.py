"""Decides how many replicas an endpoint has, and when a wake or a drain goes on to its next step.

All of it is pure: reports, replicas and the time are arguments. It imports the API's types and `wire`, and does no I/O.
Start with `endpoint_scaling.update()`, then read `decide` (how many) and `lifecycle` (when).
"""
