"""Route documents to Envoy configuration: documents -> IR -> xDS. Pure; protobuf only in the last stage."""
