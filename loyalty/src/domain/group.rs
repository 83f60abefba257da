//! Groups: sets of users.

use super::campaign::{MAX_NAME_CHARS, is_name_length, is_printable};

/// What a group is called, for administrators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName(String);

/// Why a group can't be called that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupNameError {
    /// Blank, or more than [`MAX_NAME_CHARS`] characters.
    #[error("name must have 1 to {MAX_NAME_CHARS} characters")]
    Length,
    /// A control character in it.
    #[error("name must not have control characters in it")]
    Unprintable,
}

impl GroupName {
    /// Reads what an administrator wrote.
    ///
    /// # Errors
    /// When it is blank, too long, or has control characters in it.
    pub fn parse(written: &str) -> Result<Self, GroupNameError> {
        let name = written.trim();
        if !is_name_length(name) {
            return Err(GroupNameError::Length);
        }
        if !is_printable(name) {
            return Err(GroupNameError::Unprintable);
        }
        Ok(Self(name.to_owned()))
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_200_characters_that_can_be_seen() {
        assert_eq!(String::from(GroupName::parse(" Staff ").unwrap()), "Staff");
        assert!(GroupName::parse(&"ё".repeat(200)).is_ok());
        for name in ["", "  ", &"ё".repeat(201)] {
            assert_eq!(GroupName::parse(name), Err(GroupNameError::Length));
        }
        assert_eq!(GroupName::parse("a\0b"), Err(GroupNameError::Unprintable));
    }
}
