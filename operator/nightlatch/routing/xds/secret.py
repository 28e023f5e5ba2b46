"""Certificates and trust as SDS secrets."""

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from nightlatch.routing.ir import CertificateIR


def build_certificate(name: str, certificate: CertificateIR) -> secret_pb2.Secret:
    """The secret of a certificate chain and its private key."""
    secret = secret_pb2.Secret(name=name)
    secret.tls_certificate.certificate_chain.inline_string = certificate.chain
    secret.tls_certificate.private_key.inline_string = certificate.private_key
    return secret


def build_trust(name: str, bundle: str) -> secret_pb2.Secret:
    """The secret of trusted CAs; `bundle` is PEM."""
    secret = secret_pb2.Secret(name=name)
    secret.validation_context.trusted_ca.inline_string = bundle
    return secret
