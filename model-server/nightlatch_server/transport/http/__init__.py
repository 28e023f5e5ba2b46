"""HTTP/1.1 over TLS: bytes in, `Request` out; `Response` in, bytes out. Knows nothing of models."""
