//! What a person is on the platform, and what that allows.

use std::collections::BTreeSet;

use serde::Serialize;
use shared::contracts::Permission;

/// A set of permissions with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A customer: their own things only.
    User,
    /// Answers customers: sees everything of theirs, changes nothing.
    Support,
    /// Makes the offers.
    Manager,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 4] = [Self::User, Self::Support, Self::Manager, Self::Admin];

    /// As it stands in the database and in tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Support => "support",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// What it allows.
    #[must_use]
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission::{
            BillingRead, CampaignsRead, CampaignsWrite, LettersRead, RefusalsRead, TariffsWrite, UsersRead,
        };
        match self {
            Self::User => &[],
            Self::Support => &[UsersRead, CampaignsRead, RefusalsRead, BillingRead, LettersRead],
            Self::Manager => &[
                UsersRead,
                CampaignsRead,
                CampaignsWrite,
                RefusalsRead,
                TariffsWrite,
                BillingRead,
                LettersRead,
            ],
            Self::Admin => Permission::ALL,
        }
    }
}

/// What roles allow together, each permission once.
#[must_use]
pub fn permissions_of(roles: &BTreeSet<Role>) -> Vec<Permission> {
    let all: BTreeSet<_> = roles
        .iter()
        .flat_map(|role| role.permissions())
        .copied()
        .collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(roles: &[Role]) -> Vec<Permission> {
        permissions_of(&roles.iter().copied().collect())
    }

    #[test]
    fn roles_are_read_back_by_name() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("Admin"), None);
    }

    #[test]
    fn each_role_allows_more_than_the_one_before() {
        for pair in Role::ALL.windows(2) {
            let (less, more) = (of(&pair[..1]), of(&pair[1..]));
            assert!(
                less.len() < more.len() && less.iter().all(|one| more.contains(one)),
                "{pair:?}"
            );
        }
        assert!(of(&[Role::User]).is_empty());
        assert_eq!(of(&[Role::Admin]).len(), Permission::ALL.len());
    }

    #[test]
    fn only_administrators_block_users_and_give_roles() {
        for role in [Role::User, Role::Support, Role::Manager] {
            assert!(!of(&[role]).contains(&Permission::UsersBlock), "{role:?}");
            assert!(!of(&[role]).contains(&Permission::RolesWrite), "{role:?}");
        }
    }

    #[test]
    fn several_roles_name_each_permission_once() {
        assert_eq!(
            of(&[Role::Support, Role::Manager, Role::User]),
            of(&[Role::Manager])
        );
    }
}
