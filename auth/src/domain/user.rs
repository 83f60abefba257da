//! A person with an account.

use std::collections::BTreeSet;

use shared::{
    clock::Instant,
    contracts::{Locale, UserState, UserStatus},
    ids::UserId,
    zone::Zone,
};

use super::{ADMIN, Email};

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who, for every service.
    pub id: UserId,
    /// Where to write to them, and what they log in with.
    pub email: Email,
    /// Whether they have shown that the address is theirs.
    pub email_confirmed: bool,
    /// Whether they may act.
    pub status: UserStatus,
    /// In which language to write to them.
    pub locale: Locale,
    /// Their time zone; none if they have chosen none, so that the platform's counts.
    pub time_zone: Option<Zone>,
    /// What they are.
    pub roles: BTreeSet<String>,
    /// Grows by one with every change that the other services hear of.
    pub version: i64,
    /// Since when they have an account.
    pub registered_at: Instant,
}

/// Whether a request changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It did, and the version has grown.
    Made,
    /// It was so already.
    None,
}

/// Why a user's status can't be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Nobody could then lift the block of the last administrator.
    #[error("nobody can block themselves")]
    Oneself,
    /// The account is gone for good.
    #[error("the account is deleted")]
    Deleted,
}

impl User {
    /// A new account, active, in its first version.
    #[must_use]
    pub fn register(id: UserId, email: Email, locale: Locale, role: &str, now: Instant) -> Self {
        Self {
            id,
            email,
            email_confirmed: false,
            status: UserStatus::Active,
            locale,
            time_zone: None,
            roles: BTreeSet::from([role.to_owned()]),
            version: 1,
            registered_at: now,
        }
    }

    /// Whether they may act.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Blocks the account; `by` is the administrator who does it.
    ///
    /// # Errors
    /// When that is the account's owner, or the account is deleted.
    pub fn block(&mut self, by: UserId) -> Result<Change, StatusError> {
        if by == self.id {
            return Err(StatusError::Oneself);
        }
        self.change_to(UserStatus::Blocked)
    }

    /// Lifts the block.
    ///
    /// # Errors
    /// When the account is deleted.
    pub fn unblock(&mut self) -> Result<Change, StatusError> {
        self.change_to(UserStatus::Active)
    }

    /// Changes the language to write to them in.
    pub fn speak(&mut self, locale: Locale) -> Change {
        if self.locale == locale {
            return Change::None;
        }
        self.locale = locale;
        self.version += 1;
        Change::Made
    }

    /// Changes their time zone; none is the platform's.
    pub fn set_time_zone(&mut self, time_zone: Option<Zone>) -> Change {
        if self.time_zone == time_zone {
            return Change::None;
        }
        self.time_zone = time_zone;
        self.version += 1;
        Change::Made
    }

    /// Deletes the account for good: nothing but the id tells of its owner any more.
    pub fn delete(&mut self) -> Change {
        if self.status == UserStatus::Deleted {
            return Change::None;
        }
        self.status = UserStatus::Deleted;
        self.email_confirmed = false;
        self.email = Email::erased(&self.id.to_string());
        self.locale = Locale::default();
        self.time_zone = None;
        self.roles.clear();
        self.version += 1;
        Change::Made
    }

    fn change_to(&mut self, status: UserStatus) -> Result<Change, StatusError> {
        if self.status == UserStatus::Deleted {
            return Err(StatusError::Deleted);
        }
        if self.status == status {
            return Ok(Change::None);
        }
        self.status = status;
        self.version += 1;
        Ok(Change::Made)
    }

    /// What the other services know of them.
    #[must_use]
    pub fn state(&self) -> UserState {
        UserState {
            user_id: self.id,
            version: self.version,
            status: self.status,
            locale: self.locale,
            time_zone: self.time_zone,
            registered_at: self.registered_at,
        }
    }
}

/// Whether of these users, who are all administrators that there are and perhaps others, `user` is
/// the only administrator who may act.
pub fn is_last_administrator<'a>(user: UserId, users: impl IntoIterator<Item = &'a User>) -> bool {
    let mut administrators = users
        .into_iter()
        .filter(|user| user.is_active() && user.roles.contains(ADMIN));
    administrators.next().is_some_and(|one| one.id == user) && administrators.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::USER;

    fn now() -> Instant {
        Instant::from_timestamp_micros(1_763_692_800_000_000).unwrap()
    }

    fn user() -> User {
        let email = Email::parse("ann@example.com").unwrap();
        User::register(UserId::new(now()), email, Locale::En, USER, now())
    }

    #[test]
    fn a_new_user_is_active_in_version_one() {
        let user = user();
        assert!(user.is_active());
        assert_eq!(user.version, 1);
        assert_eq!(user.state().user_id, user.id);
    }

    #[test]
    fn blocking_twice_is_one_change() {
        let (mut user, admin) = (user(), UserId::new(now()));
        assert_eq!(user.block(admin), Ok(Change::Made));
        assert_eq!(user.block(admin), Ok(Change::None));
        assert_eq!((user.status, user.version), (UserStatus::Blocked, 2));
        assert_eq!(user.unblock(), Ok(Change::Made));
        assert_eq!(user.unblock(), Ok(Change::None));
        assert_eq!((user.status, user.version), (UserStatus::Active, 3));
    }

    #[test]
    fn a_zone_is_one_change_and_goes_with_the_account() {
        let mut user = user();
        let zone = "Europe/Moscow".parse().ok();
        assert_eq!(user.set_time_zone(zone), Change::Made);
        assert_eq!(user.set_time_zone(zone), Change::None);
        assert_eq!((user.state().time_zone, user.version), (zone, 2));
        assert_eq!(user.delete(), Change::Made);
        assert_eq!((user.state().time_zone, user.version), (None, 3));
    }

    #[test]
    fn nobody_blocks_themselves() {
        let mut user = user();
        assert_eq!(user.block(user.id), Err(StatusError::Oneself));
        assert_eq!((user.status, user.version), (UserStatus::Active, 1));
    }

    #[test]
    fn a_deleted_account_stays_deleted() {
        let mut user = User {
            status: UserStatus::Deleted,
            ..user()
        };
        assert_eq!(user.block(UserId::new(now())), Err(StatusError::Deleted));
        assert_eq!(user.unblock(), Err(StatusError::Deleted));
        assert_eq!(user.status, UserStatus::Deleted);
    }

    proptest! {
        #[test]
        fn the_version_counts_the_changes_of_status(steps in proptest::collection::vec(any::<bool>(), 0..20)) {
            let (mut user, admin) = (user(), UserId::new(now()));
            let mut changes = 0;
            for block in steps {
                let before = user.status;
                let change = if block { user.block(admin) } else { user.unblock() }.unwrap();
                prop_assert_eq!(change == Change::Made, before != user.status);
                changes += i64::from(change == Change::Made);
                prop_assert_eq!(user.version, 1 + changes);
            }
        }
    }
}
