//! Why a credential is refused, or cannot be verified now. A caller never learns it: `explain` tells administrators.

/// Defines the flaws with the names by which `explain` writes them.
macro_rules! flaws {
    ($($flaw:ident = $name:literal,)*) => {
        /// Those of tokens stand in the order in which they are looked for, so that of two issuers' verdicts the greater
        /// one is that of the issuer with which the token got further.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Flaw {
            $($flaw,)*
        }

        impl Flaw {
            // The library has no list to show.
            #[allow(dead_code)]
            pub const ALL: &[Flaw] = &[$(Flaw::$flaw,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Flaw::$flaw => $name,)*
                }
            }
        }
    };
}

flaws! {
    // Of any credential.
    NotAccepted = "not_accepted",
    // Of an API key.
    KeyMalformed = "key_malformed",
    KeyUnknown = "key_unknown",
    KeyOfRevokedClient = "key_of_revoked_client",
    KeyRevoked = "key_revoked",
    KeyNotYetValid = "key_not_yet_valid",
    KeyExpired = "key_expired",
    // Of a certificate.
    CertificateUnreadable = "certificate_unreadable",
    CertificateWithoutOneName = "certificate_without_one_name",
    CertificateOfNobody = "certificate_of_nobody",
    CertificateOfRevokedClient = "certificate_of_revoked_client",
    CertificateRevoked = "certificate_revoked",
    IdentityRevoked = "identity_revoked",
    CertificateExpired = "certificate_expired",
    // Of a token, whoever issued it.
    TokenMalformed = "token_malformed",
    TokenClaimsMalformed = "token_claims_malformed",
    TokenWithoutIssuer = "token_without_issuer",
    TokenOfStranger = "token_of_stranger",
    // The gate lacks the issuer.
    IssuerMissing = "issuer_missing",
    // Of a token of an issuer.
    TokenTimesMissing = "token_times_missing",
    TokenAlgorithm = "token_algorithm",
    TokenAudience = "token_audience",
    TokenExpired = "token_expired",
    TokenIssuedInFuture = "token_issued_in_future",
    TokenNotYetValid = "token_not_yet_valid",
    TokenLivesTooLong = "token_lives_too_long",
    TokenType = "token_type",
    TokenRequiredClaim = "token_required_claim",
    TokenNotBound = "token_not_bound",
    TokenIdsMalformed = "token_ids_malformed",
    TokenDeniedByJti = "token_denied_by_jti",
    TokenDeniedBySub = "token_denied_by_sub",
    TokenDeniedBySid = "token_denied_by_sid",
    TokenIssuedTooEarly = "token_issued_too_early",
    TokenIdentity = "token_identity",
    IssuerKeysTooOld = "issuer_keys_too_old",
    TokenOfNewKey = "token_of_new_key",
    TokenOfUnknownKey = "token_of_unknown_key",
    TokenSignature = "token_signature",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flaw_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Flaw::ALL.iter().map(|each| each.name()).collect();
        assert_eq!(names.len(), Flaw::ALL.len());
    }
}
