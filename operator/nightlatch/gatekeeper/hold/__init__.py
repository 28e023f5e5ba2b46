"""Holds the calls of an endpoint that has no replica to take them, and lets them go when it has one.

`hold_state.py` decides when, and `still_allowed.py` which calls may go on; both are pure. `endpoint.py` carries out
their decisions; `hold_service.py` answers Envoy over ext_authz. Start with `hold_state.py`.
"""
