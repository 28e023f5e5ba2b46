"""From what is observed to what is wanted: `plan()`, builders for each child, readiness chains. Pure.

`plan.plan` (endpoints), `client_plan.plan_client`, `issuer_plan.plan_issuer`; their input is in `observed`, their
output in `actions`.
"""
