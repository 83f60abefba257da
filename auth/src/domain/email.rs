//! An e-mail address: the name under which a person logs in.

use std::fmt;

/// The longest address that mail can be sent to, in characters (RFC 5321).
pub const LONGEST: usize = 254;
const LONGEST_LOCAL: usize = 64;
const LONGEST_LABEL: usize = 63;

/// An e-mail address, kept as typed and compared without case.
///
/// ASCII only, as browsers' e-mail fields have it: a name that looks like another one can't be
/// registered beside it, and "without case" means the same on every database. International
/// domains are given in their ASCII form.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    typed: String,
    normal: String,
}

/// Why a text is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Longer than mail can be sent to.
    #[error("it must have at most {LONGEST} characters")]
    TooLong,
    /// Not of the form of one.
    #[error("it must be an e-mail address like name@example.com")]
    Malformed,
}

impl Email {
    /// Reads an address; space around it is not part of it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(EmailError::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::Malformed)?;
        if !is_local(local) || !domain.split('.').all(is_label) {
            return Err(EmailError::Malformed);
        }
        Ok(Self {
            typed: text.to_owned(),
            normal: text.to_ascii_lowercase(),
        })
    }

    /// An address that was parsed before and kept in both forms.
    #[must_use]
    pub fn restore(typed: String, normal: String) -> Self {
        Self { typed, normal }
    }

    /// What stands in the place of the address of somebody whose id is `id` and who is gone: no
    /// address, so that nobody can register it.
    #[must_use]
    pub fn erased(id: &str) -> Self {
        Self {
            typed: String::new(),
            normal: format!("deleted:{id}"),
        }
    }

    /// As its owner typed it.
    #[must_use]
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// The form that two spellings of one address share.
    #[must_use]
    pub fn normal(&self) -> &str {
        &self.normal
    }
}

/// Personal data, so not for logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email([REDACTED])")
    }
}

fn is_local(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&byte);
    (1..=LONGEST_LOCAL).contains(&text.len())
        && text.bytes().all(is_allowed)
        && !text.starts_with('.')
        && !text.ends_with('.')
        && !text.contains("..")
}

fn is_label(text: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_told_from_other_texts() {
        for good in [
            "a@b",
            "Ann.Lee+shop@mail.example.com",
            " ann@example.com ",
            "o'neil@xn--80ak6aa92e.com",
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "@",
            "ann",
            "ann@",
            "@example.com",
            "a b@example.com",
            "a@b@c",
            "ann@-example.com",
            "ann@example..com",
            ".ann@example.com",
            "ann.@example.com",
            "a..n@example.com",
            "ann@example.com.",
            "ann@exam_ple.com",
            "анна@example.com",
            "ann\0@example.com",
            "ann@example.com\nbcc:all@example.com",
        ] {
            assert_eq!(Email::parse(bad), Err(EmailError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn an_address_is_at_most_254_characters_long() {
        let domain = format!("{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(62));
        let longest = format!("{}@{domain}", "d".repeat(LONGEST - 1 - domain.len()));
        assert_eq!(longest.len(), LONGEST);
        assert!(Email::parse(&longest).is_ok());
        assert_eq!(Email::parse(&format!("d{longest}")), Err(EmailError::TooLong));
        assert_eq!(
            Email::parse(&format!("{}@example.com", "d".repeat(65))),
            Err(EmailError::Malformed)
        );
    }

    #[test]
    fn an_address_is_not_printed() {
        assert!(!format!("{:?}", Email::parse("ann@example.com")).contains("ann"));
    }

    proptest! {
        #[test]
        fn spellings_that_differ_in_case_are_one_address(text in "[a-zA-Z0-9]{1,20}@[a-zA-Z0-9]{1,20}\\.[a-zA-Z]{2,5}") {
            let email = Email::parse(&text).unwrap();
            prop_assert_eq!(email.typed(), &text);
            let shouted = Email::parse(&text.to_ascii_uppercase()).unwrap();
            prop_assert_eq!(shouted.normal(), email.normal());
        }

        #[test]
        fn no_text_makes_it_fail_otherwise(text in "\\PC*") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.typed().len() <= LONGEST && email.normal().is_ascii());
            }
        }
    }
}
