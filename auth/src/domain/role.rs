//! What a person is on the platform, and what that allows.

use std::collections::BTreeSet;

use shared::contracts::Permission;
use uuid::Uuid;

/// The role of a customer, which everybody gets at registration.
pub const USER: &str = "user";
/// The role that allows everything that a role can.
pub const ADMIN: &str = "admin";

/// The longest name of a role, in characters.
pub const LONGEST_NAME: usize = 32;
/// The longest description of a role, in characters.
pub const LONGEST_DESCRIPTION: usize = 200;

/// A set of permissions with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its id, for the audit log.
    pub id: Uuid,
    /// Its name, as it stands in tokens.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it was given; see [`Role::allows`].
    pub permissions: BTreeSet<Permission>,
}

/// Why a text can't be what it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleTextError {
    /// Of the name.
    #[error("it must have 2 to {LONGEST_NAME} small letters, digits, `_` and `-`, and begin with a letter")]
    Name,
    /// Of the description.
    #[error("it must have at most {LONGEST_DESCRIPTION} characters and no control characters")]
    Description,
}

/// A permission that only the platform itself has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` can't be given to anybody")]
pub struct ReservedPermission(&'static str);

impl Role {
    /// Whether it belongs to the platform and can't be removed.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.is_admin() || self.name == USER
    }

    /// Whether it allows everything, whatever it was given.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.name == ADMIN
    }

    /// What it allows: nothing that is reserved, whatever it was given.
    #[must_use]
    pub fn allows(&self) -> BTreeSet<Permission> {
        Permission::grantable()
            .filter(|permission| self.is_admin() || self.permissions.contains(permission))
            .collect()
    }
}

/// What roles allow together, each permission once.
#[must_use]
pub fn permissions_of<'a>(roles: impl IntoIterator<Item = &'a Role>) -> BTreeSet<Permission> {
    roles.into_iter().flat_map(Role::allows).collect()
}

/// Which of these permissions are not `held`.
#[must_use]
pub fn not_held(
    held: &BTreeSet<Permission>,
    wanted: impl IntoIterator<Item = Permission>,
) -> BTreeSet<Permission> {
    wanted
        .into_iter()
        .filter(|permission| !held.contains(permission))
        .collect()
}

/// Whether a role, or a program, may be given these permissions.
///
/// # Errors
/// When one of them is reserved.
pub fn check_permissions(permissions: &BTreeSet<Permission>) -> Result<(), ReservedPermission> {
    match permissions.iter().find(|permission| permission.is_reserved()) {
        None => Ok(()),
        Some(reserved) => Err(ReservedPermission(reserved.as_str())),
    }
}

/// Whether a role may be called that.
///
/// # Errors
/// When not.
pub fn check_name(name: &str) -> Result<(), RoleTextError> {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    let fits = (2..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(is_allowed)
        && name.starts_with(|first: char| first.is_ascii_lowercase());
    if fits { Ok(()) } else { Err(RoleTextError::Name) }
}

/// Whether a role may be described so.
///
/// # Errors
/// When not.
pub fn check_description(text: &str) -> Result<(), RoleTextError> {
    if text.chars().count() <= LONGEST_DESCRIPTION && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(RoleTextError::Description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, permissions: &[Permission]) -> Role {
        Role {
            id: Uuid::nil(),
            name: name.to_owned(),
            description: String::new(),
            permissions: permissions.iter().copied().collect(),
        }
    }

    #[test]
    fn administrators_may_do_everything_whatever_their_role_was_given() {
        assert!(role(ADMIN, &[]).allows().into_iter().eq(Permission::grantable()));
        assert!(role(USER, &[]).allows().is_empty());
        assert!(role(ADMIN, &[]).is_built_in() && role(USER, &[]).is_built_in());
        assert!(!role("support", &[]).is_built_in());
    }

    #[test]
    fn no_role_allows_what_is_reserved_whatever_it_was_given() {
        for name in [ADMIN, USER, "support"] {
            let allows = role(name, Permission::ALL).allows();
            assert!(
                !allows.iter().any(|permission| permission.is_reserved()),
                "{name}"
            );
        }
    }

    #[test]
    fn several_roles_name_each_permission_once() {
        use Permission::{BillingRead, CampaignsRead, UsersRead};
        let roles = [
            role("a", &[UsersRead, BillingRead]),
            role("b", &[BillingRead, CampaignsRead]),
        ];
        assert_eq!(
            permissions_of(&roles),
            BTreeSet::from([UsersRead, BillingRead, CampaignsRead])
        );
    }

    #[test]
    fn names_are_told_from_other_texts() {
        for good in ["qa", "night-shift", "team_2", &"a".repeat(LONGEST_NAME)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "2nd",
            "Admin",
            "a b",
            "\u{0}aa",
            "роль",
            &"a".repeat(LONGEST_NAME + 1),
        ] {
            assert_eq!(check_name(bad), Err(RoleTextError::Name), "{bad}");
        }
        assert!(check_description("").is_ok() && check_description("Ночная смена").is_ok());
        assert!(check_description("a\u{0}").is_err());
        assert!(check_description(&"я".repeat(LONGEST_DESCRIPTION + 1)).is_err());
    }
}
