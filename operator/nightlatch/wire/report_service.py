"""What the report stream's two ends must agree on besides its messages."""

# Seconds beyond an endpoint's request timeout that a drain may take. The leader and the gateways count with the same.
DRAIN_GRACE = 30.0
