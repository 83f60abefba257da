//! Accounts: whose money it is.

use std::{fmt, str::FromStr};

use shared::ids::UserId;

/// Whose money it is.
///
/// A wallet keeps a running balance and never goes below zero. The others are the platform's
/// own: they keep none (every purchase would have to update that one row), their balance is
/// the sum of their postings, and it may be negative.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// A user's wallet.
    Wallet(UserId),
    /// Money outside, where top-ups come from.
    Provider(ProviderName),
    /// What purchases earned.
    Revenue,
    /// Where withdrawals go.
    Payout,
    /// What deleted users left.
    Forfeiture,
    /// Where what administrators put into wallets comes from, and what they take out goes.
    Adjustment,
}

/// The name of a payment provider (`sandbox`): 1 to 32 of `a-z`, `0-9`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderName(String);

/// A name that no payment provider can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment provider's name is 1 to 32 of a-z, 0-9, _ and -")]
pub struct InvalidProviderName;

impl ProviderName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderName {
    type Err = InvalidProviderName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidProviderName)
        }
    }
}

/// A text that names no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no account is called {0:?}")]
pub struct UnknownAccount(pub String);

impl AccountKind {
    /// The kind alone: `wallet`, `provider`, `revenue`, `payout`, `forfeiture`,
    /// `adjustment`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Wallet(_) => "wallet",
            Self::Provider(_) => "provider",
            Self::Revenue => "revenue",
            Self::Payout => "payout",
            Self::Forfeiture => "forfeiture",
            Self::Adjustment => "adjustment",
        }
    }

    /// Whose wallet it is; none for the platform's own accounts, which keep no running balance.
    #[must_use]
    pub const fn owner(&self) -> Option<UserId> {
        match self {
            Self::Wallet(user_id) => Some(*user_id),
            _ => None,
        }
    }
}

/// The account's unique name: `wallet:UUID`, `provider:sandbox`, `revenue`, …
impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wallet(user_id) => write!(f, "wallet:{user_id}"),
            Self::Provider(name) => write!(f, "provider:{}", name.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}

impl FromStr for AccountKind {
    type Err = UnknownAccount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownAccount(text.to_owned());
        match (text, text.split_once(':')) {
            ("revenue", _) => Ok(Self::Revenue),
            ("payout", _) => Ok(Self::Payout),
            ("forfeiture", _) => Ok(Self::Forfeiture),
            ("adjustment", _) => Ok(Self::Adjustment),
            (_, Some(("wallet", id))) => id.parse().map(Self::Wallet).map_err(|_| unknown()),
            (_, Some(("provider", name))) => name.parse().map(Self::Provider).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_account_is_found_by_its_name() {
        let accounts = [
            AccountKind::Wallet(UserId(Uuid::from_u128(7))),
            AccountKind::Provider("sandbox".parse().unwrap()),
            AccountKind::Revenue,
            AccountKind::Payout,
            AccountKind::Forfeiture,
            AccountKind::Adjustment,
        ];
        for account in accounts {
            assert_eq!(account.to_string().parse(), Ok(account));
        }
        for unknown in [
            "",
            "wallet",
            "wallet:7",
            "provider:",
            "provider:Sand box",
            "revenue:",
            "bank",
        ] {
            assert_eq!(
                unknown.parse::<AccountKind>(),
                Err(UnknownAccount(unknown.to_owned()))
            );
        }
    }
}
