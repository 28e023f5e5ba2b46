"""What a gRPC caller gets beside the status: google.rpc.Status with an ErrorInfo, as `grpc-status-details-bin`."""

import base64

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from nightlatch.wire.error_body import CallerError

DOMAIN = "nightlatch.dev"
GRPC_STATUS = "grpc-status"
GRPC_DETAILS = "grpc-status-details-bin"


def grpc_headers(error: CallerError, sentence: str, reason: str | None = None) -> dict[str, str]:
    """Headers for a call that ends with `sentence` as its grpc-message: clients refuse details with another one."""
    info = ErrorInfo(reason=error.code, domain=DOMAIN, metadata={"reason": reason} if reason else {})
    status = Status(code=error.grpc_status, message=sentence)
    status.details.add().Pack(info, deterministic=True)
    encoded = base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")
    return {GRPC_STATUS: str(error.grpc_status), GRPC_DETAILS: encoded}
