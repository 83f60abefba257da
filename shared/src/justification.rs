//! Why an administrator did something, in their own words.

use std::{fmt, str::FromStr};

/// The most characters it may have.
pub const MAX_JUSTIFICATION: usize = 500;

/// Why an administrator did something: 1 to [`MAX_JUSTIFICATION`] characters without control
/// characters; space around it is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Justification(String);

/// A text that justifies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJustification {
    /// Nothing but space.
    #[error("it must not be empty")]
    Empty,
    /// More than [`MAX_JUSTIFICATION`] characters.
    #[error("it has at most {MAX_JUSTIFICATION} characters")]
    TooLong,
    /// Line breaks and the like.
    #[error("it has no control characters")]
    HasControlCharacters,
}

impl Justification {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Justification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Justification {
    type Err = InvalidJustification;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidJustification::Empty);
        }
        if text.chars().count() > MAX_JUSTIFICATION {
            return Err(InvalidJustification::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidJustification::HasControlCharacters);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_justification_says_something_on_one_line() {
        let parse = str::parse::<Justification>;
        assert_eq!(parse("  a mistake ").unwrap().as_str(), "a mistake");
        assert!(parse(&"ы".repeat(MAX_JUSTIFICATION)).is_ok());
        for (text, error) in [
            (" ".to_owned(), InvalidJustification::Empty),
            ("ы".repeat(MAX_JUSTIFICATION + 1), InvalidJustification::TooLong),
            ("a\0b".to_owned(), InvalidJustification::HasControlCharacters),
            ("a\nb".to_owned(), InvalidJustification::HasControlCharacters),
        ] {
            assert_eq!(parse(&text), Err(error));
        }
    }
}
