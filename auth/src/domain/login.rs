//! What comes of a try to log in.

/// A user has at most so many sessions: more devices than anybody has. When one more begins, the one
/// that was unused longest ends.
pub const MOST_SESSIONS: u64 = 100;

/// What came of a try to log in to an account that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    /// A session began.
    Succeeded,
    /// That was not the password.
    WrongPassword,
    /// It was the password of a blocked account.
    Blocked,
}

impl LoginOutcome {
    const ALL: [Self; 3] = [Self::Succeeded, Self::WrongPassword, Self::Blocked];

    /// As it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::WrongPassword => "wrong_password",
            Self::Blocked => "user_blocked",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_back_by_name() {
        for outcome in LoginOutcome::ALL {
            assert_eq!(LoginOutcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!(LoginOutcome::parse("lost"), None);
    }
}
