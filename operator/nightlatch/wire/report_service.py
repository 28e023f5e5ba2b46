"""What both ends of the report stream must agree on besides its messages."""

# The gRPC service and its only method: a stream in both directions, whose frames are the JSON of report_codec.
SERVICE = "nightlatch.v1.Reports"
METHOD = "Stream"
METHOD_PATH = f"/{SERVICE}/{METHOD}"

# The leader's call metadata with the newest document format that it reads. Without it, the leader is of the first one.
READS_METADATA = "nightlatch-reads"

# Seconds that a drain may take beyond the endpoint's request timeout, for the leader and for the gateways.
DRAIN_GRACE = 30.0
