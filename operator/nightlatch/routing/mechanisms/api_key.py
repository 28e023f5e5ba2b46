"""API keys: what a document says of them becomes the policy of the gate."""
