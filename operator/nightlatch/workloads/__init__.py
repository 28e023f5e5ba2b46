"""What runs a model server: one protocol, over local processes or over Kubernetes."""
