"""Where our kinds and Secrets live: one protocol, over Kubernetes or over files."""
