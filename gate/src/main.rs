//! `nightlatch-explain`: what the gate would say of one call, and why. `nightlatch explain` runs it.
//!
//! It reads one JSON object from standard input and writes one to standard output (README.md has an example of both). It
//! opens no file and no connection, and takes no argument but `--flaws`, so a credential is nowhere but in its memory.
//! The exit status is 2, with a sentence on standard error, if there is nothing to explain.
#![deny(unsafe_code)]
// These are the modules of the library, which uses more of them.
#![allow(dead_code)]

mod accept;
mod api_key;
mod audit;
mod call;
mod config;
mod credential;
mod decide;
mod explain;
mod flaw;
mod gauge;
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

use std::io::{Read, Write, stdin, stdout};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// A route document has at most 1 MiB, and what all issuers and revocations come to is less than this.
const LONGEST: u64 = 64 << 20;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let said = match &*arguments {
        [] => answered(),
        [only] if only == "--flaws" => Ok(flaw::Flaw::ALL.iter().map(|each| format!("{}\n", each.name())).collect()),
        _ => Err("it takes no argument but --flaws".to_owned()),
    };
    let written = said.and_then(|said| stdout().write_all(said.as_bytes()).map_err(|error| error.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nightlatch-explain: {error}");
            ExitCode::from(2)
        }
    }
}

fn answered() -> Result<String, String> {
    let mut asked = Vec::new();
    stdin().take(LONGEST + 1).read_to_end(&mut asked).map_err(|error| error.to_string())?;
    if asked.len() as u64 > LONGEST {
        return Err(format!("its input is longer than {LONGEST} bytes"));
    }
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    explain::answer(&asked, unix.as_millis() as i64)
}
