//! What passes for a password.

use secrecy::{ExposeSecret as _, SecretString};

/// The shortest password, in characters.
pub const SHORTEST: usize = 8;
/// The longest password, in characters.
pub const LONGEST: usize = 128;

/// A password that may be chosen. Its length is all that is asked of it: rules about kinds of
/// characters make passwords worse (NIST SP 800-63B).
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Easily guessed.
    #[error("it must have at least {SHORTEST} characters")]
    TooShort,
    /// Nobody types that.
    #[error("it must have at most {LONGEST} characters")]
    TooLong,
}

impl Password {
    /// Takes a password that somebody chooses, exactly as typed.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub fn choose(text: SecretString) -> Result<Self, PasswordError> {
        let length = text.expose_secret().chars().count();
        if length < SHORTEST {
            return Err(PasswordError::TooShort);
        }
        if length > LONGEST {
            return Err(PasswordError::TooLong);
        }
        Ok(Self(text))
    }

    /// The password itself, to be hashed.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_length_counts_and_in_characters() {
        let choose = |text: String| Password::choose(SecretString::from(text)).map(drop);
        for (text, outcome) in [
            ("1234567".to_owned(), Err(PasswordError::TooShort)),
            (String::new(), Err(PasswordError::TooShort)),
            ("aaaaaaaa".to_owned(), Ok(())),
            ("пароль77".to_owned(), Ok(())),
            ("я".repeat(LONGEST), Ok(())),
            ("a".repeat(LONGEST + 1), Err(PasswordError::TooLong)),
        ] {
            assert_eq!(choose(text.clone()), outcome, "{text}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let password = Password::choose(SecretString::from("hunter2 hunter2".to_owned())).unwrap();
        assert!(!format!("{password:?}").contains("hunter2"));
    }
}
