//! Which headers of a call name a caller, carry a credential or change what a model server reads: all are removed.
//!
//! A model server may believe `x-nightlatch-client`, `-permissions` and `-method`, because only the gate sets them.

pub const CLIENT: &str = "x-nightlatch-client";
pub const PERMISSIONS: &str = "x-nightlatch-permissions";
pub const METHOD: &str = "x-nightlatch-method";
pub const FORWARDED_FOR: &[u8] = b"x-forwarded-for";

/// The hold reads this one. Where a call may be held it stays, and the route removes it before the model server.
pub const HOLD_TIMEOUT: &[u8] = b"x-nightlatch-hold-timeout";

/// What may stand behind `x-`.
const PREFIXES: [&[u8]; 23] = [
    b"nightlatch-",
    b"forwarded-",
    b"envoy-",
    b"auth-",
    b"authenticated-",
    b"remote-",
    b"original-",
    b"rewrite-",
    b"user-",
    b"webauth-",
    b"ssl-",
    b"client-cert",
    b"client-verify",
    b"tls-",
    b"jwt-",
    b"goog-",
    b"amz-",
    b"amzn-",
    b"ms-client-principal",
    b"ms-token-",
    b"consumer-",
    b"credential-",
    b"spiffe-",
];

/// A decision tree, because comparing each name of a call with each of these costs more than the decision about the call.
fn is_named(name: &[u8]) -> bool {
    matches!(
        name,
        b"authorization"
            | b"proxy-authorization"
            | b"cookie"
            | b"dpop"
            | b"x-api-key"
            | b"api-key"
            | b"apikey"
            | b"x-apikey"
            | b"openai-api-key"
            | b"anthropic-api-key"
            | b"ocp-apim-subscription-key"
            | b"x-functions-key"
            | b"x-access-token"
            | b"x-id-token"
            | b"x-token"
            | b"x-vault-token"
            | b"x-gitlab-token"
            | b"private-token"
            | b"x-csrf-token"
            | b"remote-user"
            | b"remote-email"
            | b"remote-groups"
            | b"remote-name"
            | b"x-user"
            | b"x-username"
            | b"x-userid"
            | b"x-email"
            | b"x-groups"
            | b"x-roles"
            | b"x-real-ip"
            | b"x-client-ip"
            | b"x-cluster-client-ip"
            | b"true-client-ip"
            | b"cf-connecting-ip"
            | b"fastly-client-ip"
            | b"forwarded"
            | b"via"
            | b"x-http-method"
            | b"x-http-method-override"
            | b"x-method-override"
    )
}

/// Set by Envoy from what it knows itself: who connects (see `last_hop`) and with what scheme.
const KEPT: [&[u8]; 2] = [FORWARDED_FOR, b"x-forwarded-proto"];

/// Whether a header is removed before the model server. Names are in lower case, as Envoy gives them.
pub fn removed(name: &[u8]) -> bool {
    let prefixed = match name.strip_prefix(b"x-") {
        Some(rest) => PREFIXES.iter().any(|prefix| rest.first() == prefix.first() && rest.starts_with(prefix)),
        None => name.starts_with(b"client-cert"),
    };
    (prefixed || is_named(name)) && !KEPT.contains(&name)
}

/// The last element of `x-forwarded-for`, which Envoy appended itself. What stands before it is the caller's word.
/// None: there is nothing to cut off.
pub fn last_hop(value: &[u8]) -> Option<&[u8]> {
    let comma = value.iter().rposition(|byte| *byte == b',')?;
    Some(value[comma + 1..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that section S8 of the review of the gateway saw reach a pod, and the credentials.
    const MUST_GO: &str = "authorization x-api-key cookie proxy-authorization dpop api-key openai-api-key \
        x-goog-api-key x-amz-security-token x-auth-token x-access-token client-cert x-ssl-client-cert remote-user \
        x-remote-user x-forwarded-user x-forwarded-email x-forwarded-groups x-forwarded-access-token x-forwarded-host \
        x-forwarded-prefix x-forwarded-path x-forwarded-port x-forwarded-uri x-forwarded-client-cert forwarded \
        x-real-ip true-client-ip x-original-uri x-original-url x-original-method x-spiffe-id x-envoy-peer-metadata \
        x-envoy-attempt-count x-nightlatch-client x-nightlatch-permissions x-nightlatch-method \
        x-nightlatch-key-sha256 x-nightlatch-hold-timeout x-nightlatch-anything x-rewrite-url x-http-method-override client-cert-chain";
    const MUST_STAY: &str = ":path :method :authority :scheme host content-type content-length accept user-agent \
        x-request-id traceparent tracestate expect te x-forwarded-for x-forwarded-proto \
        inference-header-content-length openai-organization x-user1";

    #[test]
    fn identity_goes_and_the_rest_stays() {
        for name in MUST_GO.split_whitespace() {
            assert!(removed(name.as_bytes()), "{name}");
        }
        for name in MUST_STAY.split_whitespace() {
            assert!(!removed(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn only_the_hop_that_envoy_saw_is_kept() {
        assert_eq!(last_hop(b"1.2.3.4, 5.6.7.8,10.0.0.1"), Some(&b"10.0.0.1"[..]));
        assert_eq!(last_hop(b"x,"), Some(&b""[..]));
        assert_eq!(last_hop(b"10.0.0.1"), None);
    }

    proptest! {
        #[test]
        fn nothing_of_ours_passes(name in "x-nightlatch-[a-z0-9-]{0,20}") {
            prop_assert!(removed(name.as_bytes()));
        }
    }
}
