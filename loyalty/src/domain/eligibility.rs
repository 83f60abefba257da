//! Eligibility: for whom and for what a campaign is.

use std::collections::BTreeSet;

use iso_currency::Currency;
use serde::{Deserialize, Serialize};
use shared::{
    ids::{GroupId, TariffId, UserId},
    money::Money,
};

use super::{
    discount::{DiscountError, check_money},
    period::Period,
};

/// The most users, groups or tariffs that a campaign may name. Who is many, is a group.
pub const MOST_NAMED: usize = 1_000;

/// What a campaign asks of a purchase and of who makes it; nothing where nothing is said. All
/// that is said must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Eligibility {
    /// For these users, and those of `groups`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<UserId>,
    /// For whoever is in one of these groups at the moment, and `users`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupId>,
    /// For these tariffs only.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tariffs: BTreeSet<TariffId>,
    /// For whoever has never paid for anything. A purchase that was refunded counts: else one
    /// could be first again and again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub first_purchase: bool,
    /// For whoever registered recently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_users: Option<NewUsers>,
    /// For what costs at least this much before the discount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_price: Option<Money>,
}

/// Who is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUsers {
    /// Registered no longer ago than this when they ask.
    pub registered_within: Period,
}

/// What of an [`Eligibility`] can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EligibilityError {
    /// More than anybody looks through.
    #[error("{field} must name at most {MOST_NAMED}, not {found}")]
    TooManyNamed {
        /// Which list, as it is called on the wire.
        field: &'static str,
        /// How many were given.
        found: usize,
    },
    /// Loyalty knows no such user.
    #[error("there is no user {0}")]
    NoSuchUser(UserId),
    /// The user's account is deleted.
    #[error("the account of the user {0} is deleted")]
    DeletedUser(UserId),
    /// There is no such group.
    #[error("there is no group {0}")]
    NoSuchGroup(GroupId),
    /// Loyalty knows no such tariff.
    #[error("there is no tariff {0}")]
    NoSuchTariff(TariffId),
    /// A price that can't be asked for on this platform.
    #[error(transparent)]
    MinPrice(#[from] DiscountError),
}

impl EligibilityError {
    /// The field, as it is called on the wire.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::TooManyNamed { field, .. } => field,
            Self::NoSuchUser(_) | Self::DeletedUser(_) => "eligibility.users",
            Self::NoSuchGroup(_) => "eligibility.groups",
            Self::NoSuchTariff(_) => "eligibility.tariffs",
            Self::MinPrice(error) => error.field(),
        }
    }
}

impl Eligibility {
    /// Whether it is for certain people only.
    #[must_use]
    pub fn names_people(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// Whom and what it names that `before` does not.
    #[must_use]
    pub fn named_since(&self, before: &Self) -> Self {
        Self {
            users: &self.users - &before.users,
            groups: &self.groups - &before.groups,
            tariffs: &self.tariffs - &before.tariffs,
            ..Self::default()
        }
    }

    /// Everything that can't be taken on a platform whose currency is `currency`.
    #[must_use]
    pub fn errors(&self, currency: Currency) -> Vec<EligibilityError> {
        let lists = [
            ("eligibility.users", self.users.len()),
            ("eligibility.groups", self.groups.len()),
            ("eligibility.tariffs", self.tariffs.len()),
        ];
        let too_many = lists.into_iter().filter(|(_, found)| *found > MOST_NAMED);
        let mut errors: Vec<_> = too_many
            .map(|(field, found)| EligibilityError::TooManyNamed { field, found })
            .collect();
        if let Some(price) = self.min_price
            && let Err(error) = check_money("eligibility.min_price", price, currency)
        {
            errors.push(error.into());
        }
        errors
    }
}

/// How a user stands to a promocode and its campaign. Looked at only where the campaign asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// Is in one of the groups that the campaign names.
    pub in_group: bool,
    /// The promocode was granted to them, or to a group that they are in.
    pub granted: bool,
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use shared::money::Amount;

    use super::*;

    #[test]
    fn what_asks_nothing_is_kept_as_nothing() {
        let nothing = Eligibility::default();
        assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Eligibility>("{}").unwrap(), nothing);
        assert!(!nothing.names_people() && nothing.errors(Currency::RUB).is_empty());
    }

    #[test]
    fn what_is_asked_reads_back() {
        let asked = Eligibility {
            users: [UserId::new(DateTime::UNIX_EPOCH)].into(),
            groups: [GroupId::new(DateTime::UNIX_EPOCH)].into(),
            tariffs: [TariffId::new(DateTime::UNIX_EPOCH)].into(),
            first_purchase: true,
            new_users: Some(NewUsers {
                registered_within: "P30D".parse().unwrap(),
            }),
            min_price: Some(Money::new(Amount(1), Currency::RUB)),
        };
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<Eligibility>(&text).unwrap(), asked);
    }

    #[test]
    fn too_long_lists_and_impossible_prices_are_named() {
        let many = (0..=MOST_NAMED).map(|_| UserId::new(DateTime::UNIX_EPOCH));
        let wrong = Eligibility {
            users: many.collect(),
            min_price: Some(Money::new(Amount(0), Currency::RUB)),
            ..Eligibility::default()
        };
        let errors = wrong.errors(Currency::RUB);
        let fields: Vec<_> = errors.iter().map(EligibilityError::field).collect();
        assert_eq!(fields, ["eligibility.users", "eligibility.min_price"]);
    }
}
