//! The mechanisms: one file each says how a call proves who makes it.
//!
//! To add one: a file here with its part of the policy, a line for each `match` below and one in `policy.rs`, its class in
//! `credential.rs`.

pub mod api_key;
pub mod jwt;
pub mod mtls;

use crate::credential::Presented;
use crate::flaw::Flaw;
use crate::issuers::Issuers;
use crate::last_use::LastUse;
use crate::limit::{Limited, Rate, Subjects};
use crate::policy::Policy;
use crate::revoked::Revoked;
use std::borrow::Cow;

/// A way to prove who calls. Its number is its bit in a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    ApiKey = 0,
    Jwt = 1,
    Mtls = 2,
}

pub const ALL: [Mechanism; 3] = [Mechanism::ApiKey, Mechanism::Jwt, Mechanism::Mtls];

impl Mechanism {
    /// The name in policies, in `x-nightlatch-method` and in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ApiKey => "apiKey",
            Mechanism::Jwt => "jwt",
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
            Mechanism::Jwt => jwt::prove(evidence),
            Mechanism::Mtls => mtls::prove(evidence),
        }
    }
}

/// What a mechanism judges by. `revoked` are the lists of the gateway and of the endpoint.
pub struct Evidence<'a, 'p> {
    pub policy: &'p Policy,
    pub issuers: &'a Issuers,
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
    Failed(Flaw),
    /// It presents one that cannot be verified now.
    Unavailable(Flaw),
    Ok(Caller<'p>),
}

/// Who calls, whatever the mechanism.
#[derive(Clone, Debug)]
pub struct Caller<'p> {
    pub client: Cow<'p, str>,
    /// The id of the credential: of a key, of a token; the digest of a certificate. Never a secret.
    pub credential: Cow<'p, str>,
    pub method: Mechanism,
    /// What the credential itself permits, one bit for each permission of the policy. None: it says nothing of that.
    pub permissions: Option<u64>,
    /// The same as text, with commas, where it is known beforehand.
    pub permission_list: Option<&'p str>,
    /// The rules of the policy whose claims a token has, those that name the client, and those that name its
    /// certificate: one bit for each.
    pub by_claims: u64,
    pub by_client: u64,
    pub by_certificate: u64,
    /// The first millisecond of Unix time in which the credential is good no more, whatever the policy is by then. None:
    /// the policy says.
    pub ends: Option<i64>,
    pub limit: Option<Limit<'p>>,
    /// Where the use of the credential is noted.
    pub last_use: Option<&'p LastUse>,
}

/// Whose bucket a call takes from: that of a client that the policy lists, or that of whoever a token names.
#[derive(Clone, Copy, Debug)]
pub enum Limit<'p> {
    Client(&'p Limited),
    Subject(&'p Subjects),
}

impl Caller<'_> {
    /// The caller where another credential was asked for as well: it may do what each of them permits.
    pub fn beside(mut self, other: &Caller) -> Self {
        let permissions = match (self.permissions, other.permissions) {
            (Some(own), Some(others)) => Some(own & others),
            (own, others) => own.or(others),
        };
        if permissions != self.permissions {
            (self.permissions, self.permission_list) = (permissions, None);
        }
        self.by_claims |= other.by_claims;
        self.by_client |= other.by_client;
        self.by_certificate |= other.by_certificate;
        self
    }

    /// Takes from the caller's bucket, if it has a limit.
    pub fn take(&self, now_ms: u64) -> Option<Rate> {
        Some(match self.limit? {
            Limit::Client(limited) => limited.take(now_ms),
            Limit::Subject(subjects) => subjects.take(&self.client, now_ms),
        })
    }
}
