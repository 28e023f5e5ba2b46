//! Client certificates. Envoy verified the chain when the connection began; the policy lists whose identities count.
//!
//! The identity is the one URI of the certificate, or where it has no URI, its one DNS name. A certificate with several
//! is nobody's, and so is one with none: the common name never counts.

use super::{Caller, Evidence, Limit, Mechanism, Proof};
use crate::flaw::Flaw;
use crate::policy::{Client, Policy};
use crate::strict::{digest, visible};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;

/// As long as the API lets a certificate be named.
const LONGEST_IDENTITY: usize = 512;

/// The certificate of a connection, as the listener noted it: what `certificate()` in the operator's
/// `routing/xds/native_module.py` writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certificate<'a> {
    pub digest: [u8; 32],
    digest_hex: &'a str,
    /// The last second in which it is valid, in Unix seconds.
    not_after: i64,
    /// None: nobody's.
    identity: Option<Identity<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Identity<'a> {
    Uri(&'a str),
    Dns(&'a str),
}

/// What is known of the caller's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Shown<'a> {
    #[default]
    Nothing,
    /// A note that cannot be read, which no certificate should make.
    Unreadable,
    Certificate(Certificate<'a>),
}

impl<'a> Shown<'a> {
    /// `note`: the last second of validity, a blank, the digest in hex; then the URIs; then the DNS names. A line each,
    /// with commas between several. Nothing but a blank and two line ends: the caller has no certificate.
    pub fn read(note: &'a [u8]) -> Shown<'a> {
        match note {
            b"" | b" \n\n" => Shown::Nothing,
            _ => read(note).map_or(Shown::Unreadable, Shown::Certificate),
        }
    }

    /// SHA-256 of the certificate, to which a token may be bound.
    pub fn digest(&self) -> Option<&[u8; 32]> {
        match self {
            Shown::Certificate(certificate) => Some(&certificate.digest),
            Shown::Nothing | Shown::Unreadable => None,
        }
    }
}

fn read(note: &[u8]) -> Option<Certificate<'_>> {
    let note = std::str::from_utf8(note).ok()?;
    let (head, names) = note.split_once('\n')?;
    let (not_after, digest_hex) = head.split_once(' ')?;
    // A name with a line end in it would move the others.
    let (uris, dns) = names.split_once('\n').filter(|(_, dns)| !dns.contains('\n'))?;
    let identity = if uris.is_empty() { one(dns).map(Identity::Dns) } else { one(uris).map(Identity::Uri) };
    Some(Certificate { digest: digest(digest_hex)?, digest_hex, not_after: not_after.parse().ok()?, identity })
}

/// The text if it is one name. A name with a comma in it counts as several.
fn one(names: &str) -> Option<&str> {
    (!names.is_empty() && !names.contains(',')).then_some(names)
}

impl<'a> Certificate<'a> {
    /// The URI or the DNS name, the latter in lower case. None: nobody's.
    pub fn name(&self) -> Option<Cow<'a, str>> {
        Some(match self.identity? {
            Identity::Uri(uri) => Cow::Borrowed(uri),
            Identity::Dns(name) => Cow::Owned(name.to_ascii_lowercase()),
        })
    }

    fn is_over(&self, unix_ms: i64) -> bool {
        unix_ms >= self.ends()
    }

    /// The first millisecond in which it is over.
    pub fn ends(&self) -> i64 {
        self.not_after.saturating_add(1).saturating_mul(1000)
    }
}

/// The mechanism's part of the policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Each identity with the index of its client.
    uris: Vec<(Box<str>, u32)>,
    #[serde(default)]
    dns: Vec<(Box<str>, u32)>,
}

/// Whose certificates an endpoint accepts: indices of clients.
#[derive(Default)]
pub struct Identities {
    uris: HashMap<Box<str>, u32>,
    /// In lower case.
    dns: HashMap<Box<str>, u32>,
}

impl Identities {
    pub fn read(value: Value, clients: usize) -> Result<Identities, String> {
        let table = |entries: Vec<(Box<str>, u32)>, proper: fn(&str) -> bool| {
            let mut table = HashMap::with_capacity(entries.len());
            for (identity, client) in entries {
                if client as usize >= clients || !visible(&identity, LONGEST_IDENTITY) || !proper(&identity) {
                    return Err(format!("identity {identity:?} names no client or is not possible"));
                }
                if table.insert(identity, client).is_some() {
                    return Err("an identity occurs twice".to_owned());
                }
            }
            Ok(table)
        };
        let uris = table(value.uris, |uri| uri.contains(':') && !uri.contains(','))?;
        let dns = table(value.dns, |name| {
            !name.contains([':', ',', '/']) && !name.bytes().any(|byte| byte.is_ascii_uppercase())
        })?;
        Ok(Identities { uris, dns })
    }

    fn client(&self, identity: Identity) -> Option<u32> {
        match identity {
            Identity::Uri(uri) => self.uris.get(uri).copied(),
            Identity::Dns(name) => self.dns.get(&*name.to_ascii_lowercase()).copied(),
        }
    }
}

pub fn prove<'p>(evidence: &Evidence<'_, 'p>) -> Proof<'p> {
    // An endpoint without the mechanism asks for no certificate: one that is still there from before means nothing.
    if evidence.policy.certificates.is_none() {
        return Proof::Absent;
    }
    let certificate = match evidence.certificate {
        Shown::Nothing => return Proof::Absent,
        Shown::Unreadable => return Proof::Failed(Flaw::CertificateUnreadable),
        Shown::Certificate(certificate) => certificate,
    };
    let Some(name) = certificate.name() else { return Proof::Failed(Flaw::CertificateWithoutOneName) };
    let Some(client) = known(evidence.policy, &certificate) else { return Proof::Failed(Flaw::CertificateOfNobody) };
    for list in evidence.revoked {
        if list.client(&client.id) {
            return Proof::Failed(Flaw::CertificateOfRevokedClient);
        }
        if list.certificate(&client.id, &certificate.digest) {
            return Proof::Failed(Flaw::CertificateRevoked);
        }
        if list.identity(&name) {
            return Proof::Failed(Flaw::IdentityRevoked);
        }
    }
    if certificate.is_over(evidence.unix_ms) {
        return Proof::Failed(Flaw::CertificateExpired);
    }
    Proof::Ok(Caller {
        client: Cow::Borrowed(&client.id),
        credential: Cow::Owned(certificate.digest_hex.to_owned()),
        method: Mechanism::Mtls,
        permissions: Some(client.permissions),
        permission_list: Some(&client.permission_list),
        by_claims: 0,
        by_client: client.by_client,
        by_certificate: evidence.policy.rules.with_certificate(&name),
        ends: Some(certificate.ends()),
        limit: client.limit.as_ref().map(Limit::Client),
        last_use: None,
    })
}

/// Whose certificate it is, if the endpoint knows its name.
pub fn known<'p>(policy: &'p Policy, certificate: &Certificate) -> Option<&'p Client> {
    let client = policy.certificates.as_ref()?.client(certificate.identity?)?;
    Some(&policy.clients[client as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

    fn shown(uris: &str, dns: &str) -> String {
        format!("2000000000 {HEX}\n{uris}\n{dns}")
    }

    fn identity(note: &str) -> Option<Identity<'_>> {
        match Shown::read(note.as_bytes()) {
            Shown::Certificate(certificate) => certificate.identity,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_identity_is_the_one_uri_or_else_the_one_dns_name() {
        for (uris, dns, expected) in [
            ("spiffe://a/b", "", Some(Identity::Uri("spiffe://a/b"))),
            ("spiffe://a/b", "x.example,y.example", Some(Identity::Uri("spiffe://a/b"))),
            ("", "x.example", Some(Identity::Dns("x.example"))),
            ("", "spiffe://a/b", Some(Identity::Dns("spiffe://a/b"))),
            ("spiffe://a/b,spiffe://a/b", "x.example", None),
            (",spiffe://a/b", "", None),
            ("spiffe://a/b,", "", None),
            ("", "x.example,y.example", None),
            ("", "", None),
        ] {
            assert_eq!(identity(&shown(uris, dns)), expected, "{uris:?} {dns:?}");
        }
    }

    #[test]
    fn no_certificate_and_one_that_cannot_be_read_are_told_apart() {
        for nothing in ["", " \n\n"] {
            assert_eq!(Shown::read(nothing.as_bytes()), Shown::Nothing);
        }
        let good = shown("spiffe://a/b", "");
        for bad in [
            " ".to_owned(),
            shown("spiffe://a/b", "x\ny"),
            good.replacen("2000000000", "soon", 1),
            good.replacen("ff\n", "f\n", 1),
            good.replacen("ff\n", "FF\n", 1),
            good.replacen(' ', "", 1),
            good.replace('\n', " "),
        ] {
            assert_eq!(Shown::read(bad.as_bytes()), Shown::Unreadable, "{bad:?}");
        }
        assert_eq!(Shown::read(b"2000000000 \xff\n\n"), Shown::Unreadable);
    }

    #[test]
    fn a_certificate_is_valid_through_its_last_second() {
        let certificate = read(b"10 00000000000000000000000000000000000000000000000000000000000000ff\na:b\n").unwrap();
        for (unix_ms, over) in [(9_999, false), (10_999, false), (11_000, true), (i64::MAX, true), (-1, false)] {
            assert_eq!(certificate.is_over(unix_ms), over, "{unix_ms}");
        }
    }

    #[test]
    fn an_identity_is_found_in_the_table_of_its_kind_alone() {
        let value: Value =
            serde_json::from_str(r#"{"uris": [["spiffe://a/b", 0]], "dns": [["x.example", 1]]}"#).unwrap();
        let identities = Identities::read(value, 2).unwrap();
        for (identity, expected) in [
            (Identity::Uri("spiffe://a/b"), Some(0)),
            (Identity::Dns("x.example"), Some(1)),
            (Identity::Dns("X.Example"), Some(1)),
            (Identity::Uri("spiffe://A/b"), None),
            (Identity::Uri("spiffe://a/b/"), None),
            (Identity::Uri("x.example"), None),
            (Identity::Dns("spiffe://a/b"), None),
            (Identity::Dns("y.x.example"), None),
        ] {
            assert_eq!(identities.client(identity), expected, "{identity:?}");
        }
    }

    #[test]
    fn a_table_that_is_not_proper_is_refused() {
        for bad in [
            r#"{"uris": [["a:b", 1]]}"#,
            r#"{"uris": [["a:b", 0], ["a:b", 0]]}"#,
            r#"{"uris": [["ab", 0]]}"#,
            r#"{"uris": [["a:b,c:d", 0]]}"#,
            r#"{"uris": [["a: b", 0]]}"#,
            r#"{"uris": [], "dns": [["A.example", 0]]}"#,
            r#"{"uris": [], "dns": [["a:b", 0]]}"#,
            r#"{"uris": [], "dns": [["", 0]]}"#,
        ] {
            assert!(Identities::read(serde_json::from_str(bad).unwrap(), 1).is_err(), "{bad}");
        }
        for bad in [r#"{}"#, r#"{"uris": [["a:b"]]}"#, r#"{"uris": [["a:b", -1]]}"#, r#"{"uris": [], "more": 1}"#] {
            assert!(serde_json::from_str::<Value>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_never_takes_several_names_for_one(
            note in proptest::collection::vec(any::<u8>(), 0..200),
            uris in proptest::collection::vec("[ -~]{0,12}", 0..4),
            dns in proptest::collection::vec("[ -~]{0,12}", 0..4),
        ) {
            Shown::read(&note);
            let note = shown(&uris.join(","), &dns.join(","));
            match identity(&note) {
                Some(Identity::Uri(uri)) => prop_assert_eq!(vec![uri.to_owned()], uris),
                Some(Identity::Dns(name)) => {
                    prop_assert!(uris.concat().is_empty());
                    prop_assert_eq!(vec![name.to_owned()], dns);
                }
                None => {}
            }
        }
    }
}
