//! The mechanisms: one file each says how a call proves who makes it.
//!
//! To add one: a file here, a line in `ALL`, its part of the policy in `policy.rs`, its class in `credential.rs`.

pub mod api_key;
pub mod mtls;

use crate::credential::Presented;
use crate::last_use::LastUse;
use crate::limit::Limited;
use crate::policy::Policy;
use crate::revoked::Revoked;
use std::borrow::Cow;

/// A way to prove who calls. Its number is its bit in a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    ApiKey = 0,
    Mtls = 2,
}

pub const ALL: [Mechanism; 2] = [Mechanism::ApiKey, Mechanism::Mtls];

impl Mechanism {
    /// The name in policies, in `x-nightlatch-method` and in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ApiKey => "apiKey",
            Mechanism::Mtls => "mtls",
        }
    }

    pub fn named(name: &str) -> Option<Mechanism> {
        ALL.into_iter().find(|each| each.name() == name)
    }

    pub fn bit(self) -> u32 {
        1 << self as u32
    }

    pub fn prove<'p>(self, evidence: &Evidence<'_, 'p>) -> Proof<'p> {
        match self {
            Mechanism::ApiKey => api_key::prove(evidence),
            Mechanism::Mtls => mtls::prove(evidence),
        }
    }
}

/// What a mechanism judges by. `revoked` are the lists of the gateway and of the endpoint.
pub struct Evidence<'a, 'p> {
    pub policy: &'p Policy,
    pub presented: &'a Presented<'a>,
    pub certificate: mtls::Shown<'a>,
    pub revoked: [&'a Revoked; 2],
    pub unix_ms: i64,
}

/// What became of one mechanism.
#[derive(Debug)]
pub enum Proof<'p> {
    /// The call presents no credential of this kind.
    Absent,
    /// It presents one, which is not good.
    Failed,
    /// It presents one that cannot be verified now.
    #[allow(dead_code, reason = "keys and certificates are always verifiable; tokens are not")]
    Unavailable,
    Ok(Caller<'p>),
}

/// Who calls, whatever the mechanism.
#[derive(Clone, Debug)]
pub struct Caller<'p> {
    pub client: Cow<'p, str>,
    /// The id of the credential: of a key, of a token; the digest of a certificate. Never a secret.
    pub credential: Cow<'p, str>,
    pub method: Mechanism,
    /// One bit for each permission of the policy.
    pub permissions: u64,
    /// The same as text, with commas.
    pub permission_list: Cow<'p, str>,
    pub limit: Option<&'p Limited>,
    /// Where the use of the credential is noted.
    pub last_use: Option<&'p LastUse>,
}
