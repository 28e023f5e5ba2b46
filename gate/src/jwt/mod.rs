//! JSON Web Tokens: their form, their signatures and their claims. Pure, and ignorant of policies and calls.
//!
//! A token is read in this order: `token` takes it apart, `claims` says what it claims, `keys` checks the signature,
//! unless `verified` remembers it. `issuer` has the rules that one issuer's tokens must keep.

pub mod claims;
pub mod issuer;
pub mod json;
pub mod keys;
mod roca;
pub mod token;
pub mod verified;

#[cfg(test)]
pub mod signer;
#[cfg(test)]
mod wycheproof;
