//! Tokens whose signatures were verified before, so that a token that comes again is not verified again.
//!
//! What is remembered is a fact that stays true: exactly these bytes carry a good signature by exactly this key, with
//! this algorithm. It is no verdict. Times, audience, denials, bindings and the key set in force are looked at in every call.
//!
//! The memory is part of a key set, which never changes. A new set starts with an empty memory, so what a key verified
//! is gone when the key is removed or replaced. Only good signatures are remembered, so nobody without a token of the
//! issuer can fill the memory or push anything out.
//!
//! All of Envoy's threads share it, because calls with one token come on several of them. It has a lock for each of 256
//! parts, held for the comparison of eight digests. Nobody waits for a lock: whoever finds it taken verifies the token.

use std::sync::{Mutex, OnceLock};

/// The first byte of a digest chooses the part, so each part has its share whatever the tokens are.
const PARTS: usize = 256;
const PLACES: usize = 8;

/// Remembers at most 2,048 tokens, in 74 KiB, which are allocated with the first of them. They are per key set and not
/// per key, because whoever writes a TokenIssuer chooses how many keys it has.
#[derive(Debug, Default)]
pub struct Verified(OnceLock<Box<[Mutex<Part>]>>);

#[derive(Debug, Default)]
struct Part {
    places: [Place; PLACES],
    taken: u8,
    /// Where to look for a place for the next token.
    hand: u8,
}

/// A token by its SHA-256. A shorter digest would not do: whoever gets two tokens of his choice from an issuer must
/// not find one of them and a forged one with the same digest.
///
/// Comparing digests takes no constant time. They are of what the caller sent, so the time tells him at most the start
/// of another token's digest, from which no token can be made.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    token: [u8; 32],
    /// The number of the key and algorithm in the key set.
    verifier: u16,
    /// Since the hand was here last.
    used: bool,
}

impl Verified {
    pub fn has(&self, token: &[u8; 32], verifier: u16) -> bool {
        let Some(parts) = self.0.get() else { return false };
        parts[part_of(token)].try_lock().is_ok_and(|mut part| part.has(token, verifier))
    }

    pub fn remember(&self, token: [u8; 32], verifier: u16) {
        let parts = self.0.get_or_init(|| (0..PARTS).map(|_| Mutex::default()).collect());
        if let Ok(mut part) = parts[part_of(&token)].try_lock() {
            part.remember(token, verifier);
        }
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        let taken = |part: &Mutex<Part>| usize::from(part.lock().unwrap().taken);
        self.0.get().map_or(0, |parts| parts.iter().map(taken).sum())
    }
}

fn part_of(token: &[u8; 32]) -> usize {
    usize::from(token[0]) % PARTS
}

impl Part {
    fn has(&mut self, token: &[u8; 32], verifier: u16) -> bool {
        let mut taken = self.places[..usize::from(self.taken)].iter_mut();
        let found = taken.find(|place| place.token == *token && place.verifier == verifier);
        found.map(|place| place.used = true).is_some()
    }

    /// Replaces a token that was not used since the hand passed it. One that is used goes on being remembered, while
    /// a caller who has many tokens and uses each once replaces his own.
    fn remember(&mut self, token: [u8; 32], verifier: u16) {
        if self.has(&token, verifier) {
            return;
        }
        let mut at = usize::from(self.taken);
        if at < PLACES {
            self.taken += 1;
        } else {
            at = usize::from(self.hand);
            // At most one turn, because each place that is passed is unused afterwards.
            while self.places[at].used {
                self.places[at].used = false;
                at = (at + 1) % PLACES;
            }
            self.hand = ((at + 1) % PLACES) as u8;
        }
        self.places[at] = Place { token, verifier, used: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: usize = PARTS * PLACES;

    fn digest(number: usize) -> [u8; 32] {
        crate::api_key::digest(&number.to_be_bytes())
    }

    #[test]
    fn a_token_is_known_by_its_whole_digest_and_for_its_own_verifier() {
        let verified = Verified::default();
        assert!(!verified.has(&digest(1), 0));
        verified.remember(digest(1), 0);
        assert!(verified.has(&digest(1), 0) && !verified.has(&digest(1), 1) && !verified.has(&digest(2), 0));
        for at in 0..32 {
            let mut near = digest(1);
            near[at] ^= 1;
            assert!(!verified.has(&near, 0), "byte {at}");
        }
        let empty = Verified::default();
        assert!(!empty.has(&[0; 32], 0));
        empty.remember(digest(1), 0);
        assert!(!(0..=255).any(|first| empty.has(&[&[first], &[0; 31][..]].concat().try_into().unwrap(), 0)));
    }

    #[test]
    fn more_tokens_than_there_are_places_take_no_more_memory_and_each_is_forgotten_before_it_comes_again() {
        let verified = Verified::default();
        for _ in 0..2 {
            for number in 0..4 * MOST {
                assert!(!verified.has(&digest(number), 0), "{number}");
                verified.remember(digest(number), 0);
            }
            assert_eq!(verified.count(), MOST);
        }
        assert!(PARTS * size_of::<Mutex<Part>>() <= 74 * 1024);
    }

    #[test]
    fn tokens_in_use_are_still_known_after_a_flood_of_good_ones_that_are_used_once() {
        let verified = Verified::default();
        let busy: Vec<_> = (0..16).map(digest).collect();
        busy.iter().for_each(|token| verified.remember(*token, 0));
        for number in 16..16 + 8 * MOST {
            verified.remember(digest(number), 0);
            if number % 64 == 0 {
                assert!(busy.iter().all(|token| verified.has(token, 0)), "{number}");
            }
        }
    }

    #[test]
    fn a_lock_that_another_thread_holds_is_not_waited_for() {
        let verified = Verified::default();
        verified.remember(digest(1), 0);
        let parts = verified.0.get().unwrap();
        let lock = parts[part_of(&digest(1))].lock().unwrap();
        assert!(!verified.has(&digest(1), 0));
        verified.remember(digest(1), 0);
        drop(lock);
        assert!(verified.has(&digest(1), 0) && verified.count() == 1);
    }

    proptest! {
        /// Few first bytes, so that places are fought over.
        #[test]
        fn what_is_known_was_remembered_and_there_is_a_bound(
            steps in prop::collection::vec((0u8..2, 0u8..12, 0u16..3, any::<bool>()), 0..200),
        ) {
            let verified = Verified::default();
            let mut told = std::collections::HashSet::new();
            for (first, last, verifier, remembered) in steps {
                let mut token = [0; 32];
                (token[0], token[31]) = (first, last);
                prop_assert!(!verified.has(&token, verifier) || told.contains(&(token, verifier)));
                if remembered {
                    verified.remember(token, verifier);
                    told.insert((token, verifier));
                    prop_assert!(verified.has(&token, verifier));
                }
                prop_assert!(verified.count() <= told.len().min(2 * PLACES));
            }
        }
    }
}
