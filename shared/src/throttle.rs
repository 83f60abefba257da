//! Counts what fails, so that guessing is slow and failures do not fill tables and inboxes.
//!
//! Each service counts in a table of its own, `throttles`, so that every replica sees the same
//! counts. What a count is about is named by a hash ([`hash_of`]). A count lasts for [`WINDOW`]
//! from its first event on. A service counts in the transaction that answers, and answers one event
//! too many with the throttle and not with what it found out: so concurrent attempts get no more
//! answers than sequential ones.

mod count;
mod forget;
mod store;

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

pub use count::{Count, WINDOW};
pub use forget::ForgetThrottles;
pub use store::{add, add_many, find, find_many, forget, forget_account, forget_before, take_back};

/// Too many attempts were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("too many attempts; {seconds} s to wait")]
pub struct Throttled {
    /// For so many seconds.
    pub seconds: u32,
}

/// The key of what `parts` name. It says nothing about them to a reader who does not know them.
#[must_use]
pub fn hash_of(parts: &[&str]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, parts.join("\n").as_bytes()))
}

/// The network that one customer of a provider has to themselves: an IPv4 address, or the first half
/// of an IPv6 one. Empty where the address is not known.
#[must_use]
pub fn place_of(address: Option<IpAddr>) -> String {
    match address {
        None => String::new(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// How many buckets there are: some four thousand IPv4 addresses share one.
const BUCKETS: u32 = 1 << 20;

/// The bucket of the place of an address, between 0 and 2^20: enough to count attempts by address in another service,
/// and too little to say which address it is. So it may travel in messages.
#[must_use]
pub fn bucket_of(address: IpAddr) -> u32 {
    let hash = digest(&SHA256, place_of(Some(address)).as_bytes());
    let mut first = [0; 4];
    for (byte, from) in first.iter_mut().zip(hash.as_ref()) {
        *byte = *from;
    }
    u32::from_be_bytes(first) % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_network_is_one_place() {
        let place = |text| place_of(address(text));
        assert_eq!(place("2001:db8:1:2:3::1"), place("2001:db8:1:2:ffff::"));
        assert_ne!(place("2001:db8:1:2::1"), place("2001:db8:1:3::1"));
        assert_ne!(place("127.0.0.1"), place("127.0.0.2"));
    }

    #[test]
    fn a_bucket_is_the_same_for_a_place_and_too_small_to_name_it() {
        let bucket = |text: &str| bucket_of(text.parse().unwrap());
        assert_eq!(bucket("2001:db8:1:2:3::1"), bucket("2001:db8:1:2:ffff::"));
        assert_ne!(bucket("127.0.0.1"), bucket("127.0.0.2"));
        for last in 0..=255_u8 {
            assert!(bucket_of(IpAddr::from([192, 0, 2, last])) < BUCKETS);
        }
    }
}
