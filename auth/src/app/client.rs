//! What is known of whoever calls.

use std::net::IpAddr;

use shared::throttle::place_of;

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
        place_of(self.address)
    }
}
