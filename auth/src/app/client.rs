//! What is known of whoever calls.

use std::net::IpAddr;

/// What a client calls itself is kept up to this many characters.
const LONGEST_USER_AGENT: usize = 256;

/// What is known of a client; shown to the account's owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    user_agent: Option<String>,
    address: Option<IpAddr>,
}

impl Client {
    /// A client that calls itself `user_agent` and comes from `address`.
    #[must_use]
    pub fn new(user_agent: Option<&str>, address: Option<IpAddr>) -> Self {
        let kept = |name: &str| name.chars().take(LONGEST_USER_AGENT).collect();
        Self {
            user_agent: user_agent.map(kept),
            address,
        }
    }

    /// What it calls itself, if it does.
    #[must_use]
    pub fn user_agent(&self) -> Option<String> {
        self.user_agent.clone()
    }

    /// From where it comes, if that is known.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.address.map(|address| address.to_string())
    }

    /// From where it comes, as far as one customer of a network provider has it to themselves: of an
    /// IPv6 address the first half.
    #[must_use]
    pub fn place(&self) -> String {
        match self.address {
            None => String::new(),
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_place() {
        let place = |address: &str| Client::new(None, Some(address.parse().unwrap())).place();
        assert_eq!(place("2001:db8:1:2:3::1"), place("2001:db8:1:2:ffff::"));
        assert_ne!(place("2001:db8:1:2::1"), place("2001:db8:1:3::1"));
        assert_ne!(place("127.0.0.1"), place("127.0.0.2"));
    }
}
