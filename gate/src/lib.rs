//! Nightlatch's gate: one Envoy dynamic module that decides about every call.
//!
//! `decide` is where to start reading: everything it needs is a value, and everything that talks to Envoy is in `ffi`.
//! The module offers three extensions to Envoy: the HTTP filter `gate`, the listener filter `hello`, and the early
//! header mutation `host`.
#![deny(unsafe_code)]

mod accept;
mod api_key;
mod audit;
mod call;
mod config;
mod credential;
mod decide;
// For the program `nightlatch-explain`, and for its tests.
#[allow(dead_code)]
mod explain;
#[allow(unsafe_code)]
mod ffi;
mod flaw;
mod gauge;
mod hello;
mod identity;
mod issuers;
mod jwt;
mod last_use;
mod limit;
mod mechanisms;
mod operation;
mod policy;
mod reply;
mod revoked;
mod rules;
mod strict;
