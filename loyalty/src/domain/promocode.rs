//! Promocodes: the string that a customer types, and what it stands for.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::ids::{CampaignId, PromocodeId};

use super::campaign::MOST_USES;

/// The most characters that a code may have, in its normal form.
pub const MAX_CODE_CHARS: usize = 64;

/// A code as customers type it, in its normal form: two that differ only in case or in
/// surrounding space are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PromocodeCode(String);

/// Why a text is no promocode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCodeError {
    /// Nothing but space.
    #[error("a promocode must not be empty")]
    Empty,
    /// More than [`MAX_CODE_CHARS`] characters.
    #[error("a promocode has at most {MAX_CODE_CHARS} characters")]
    TooLong,
    /// A space inside, a control character, or one that nobody can see.
    #[error("a promocode has neither spaces nor invisible characters in it")]
    Unprintable,
}

impl PromocodeCode {
    /// Reads what somebody typed.
    ///
    /// # Errors
    /// When it is empty, too long, or has spaces or invisible characters in it.
    pub fn parse(typed: &str) -> Result<Self, ParseCodeError> {
        let trimmed = typed.trim();
        if trimmed.is_empty() {
            return Err(ParseCodeError::Empty);
        }
        // Before the case is changed, so that an endless text costs nothing.
        if trimmed.chars().nth(MAX_CODE_CHARS).is_some() {
            return Err(ParseCodeError::TooLong);
        }
        if trimmed.chars().any(is_unprintable) {
            return Err(ParseCodeError::Unprintable);
        }
        // Lower case first: some letters (the Kelvin sign, the capital sharp s) reach their
        // relatives only that way.
        let normal = trimmed.to_lowercase().to_uppercase();
        if normal.chars().nth(MAX_CODE_CHARS).is_some() {
            return Err(ParseCodeError::TooLong); // "ß" became "SS"
        }
        Ok(Self(normal))
    }

    /// The normal form, which is what is stored and looked up.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PromocodeCode {
    type Error = ParseCodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<PromocodeCode> for String {
    fn from(code: PromocodeCode) -> Self {
        code.0
    }
}

impl fmt::Display for PromocodeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Space, control characters, and the marks that change how a text looks without being seen
/// (zero-width space and joiners, direction marks, soft hyphen, byte order mark).
fn is_unprintable(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What was typed where a promocode belongs, fit to be kept and shown: anything may have been
/// typed, and PostgreSQL stores no NUL.
#[must_use]
pub fn as_shown(typed: &str) -> String {
    let visible = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    typed.trim().chars().take(MAX_CODE_CHARS).map(visible).collect()
}

/// A promocode: belongs to one campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promocode {
    /// Which one.
    pub id: PromocodeId,
    /// The campaign whose terms it gives.
    pub campaign_id: CampaignId,
    /// What a customer types.
    pub code: PromocodeCode,
    /// How many uses it has: 1 is one-time, none is unlimited.
    pub max_uses: Option<i64>,
    /// Switched off by an administrator.
    pub disabled: bool,
    /// Grows by one with every change.
    pub version: i64,
}

/// What an administrator asks for when making a promocode; not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPromocode {
    /// As they typed it.
    pub code: String,
    /// How many uses it is to have; none is unlimited.
    pub max_uses: Option<i64>,
}

/// One field of a [`NewPromocode`] that can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromocodeError {
    /// The code does not parse.
    #[error(transparent)]
    Code(#[from] ParseCodeError),
    /// A promocode that nobody could use.
    #[error("max_uses must be at least 1, not {0}; leave it out for no limit")]
    MaxUses(i64),
    /// A limit that nobody reaches.
    #[error("max_uses must be at most {MOST_USES}, not {0}; leave it out for no limit")]
    TooManyUses(i64),
}

impl PromocodeError {
    /// The field, as it is called on the wire.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Code(_) => "code",
            Self::MaxUses(_) | Self::TooManyUses(_) => "max_uses",
        }
    }
}

impl NewPromocode {
    /// The promocode `id` of the campaign `campaign_id`, switched on.
    ///
    /// # Errors
    /// All fields that can't be taken.
    pub fn into_promocode(
        self,
        id: PromocodeId,
        campaign_id: CampaignId,
    ) -> Result<Promocode, Vec<PromocodeError>> {
        let mut errors = Vec::new();
        let code = PromocodeCode::parse(&self.code);
        if let Err(error) = code {
            errors.push(error.into());
        }
        match self.max_uses {
            Some(uses) if uses < 1 => errors.push(PromocodeError::MaxUses(uses)),
            Some(uses) if uses > MOST_USES => errors.push(PromocodeError::TooManyUses(uses)),
            _ => {}
        }
        match code {
            Ok(code) if errors.is_empty() => Ok(Promocode {
                id,
                campaign_id,
                code,
                max_uses: self.max_uses,
                disabled: false,
                version: 1,
            }),
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::ids::{CampaignId, PromocodeId};
    use uuid::Uuid;

    use super::*;

    fn code(typed: &str) -> PromocodeCode {
        PromocodeCode::parse(typed).unwrap()
    }

    #[test]
    fn codes_compare_without_case_and_surrounding_space() {
        assert_eq!(code("  Summer-25\t\n").as_str(), "SUMMER-25");
        assert_eq!(code("скидка"), code("СКИДКА"));
        assert_eq!(code("straße"), code("STRASSE"));
        assert_eq!(code("STRAẞE"), code("strasse"));
        assert_eq!(code("ΣΑΣ"), code("σας"));
        assert_eq!(code("\u{212a}ELVIN"), code("kelvin"));
        assert_ne!(code("SUMMER"), code("SUMMER1"));
    }

    #[test]
    fn what_is_empty_too_long_or_unprintable_is_no_code() {
        let refused = |typed: &str| PromocodeCode::parse(typed).unwrap_err();
        assert_eq!(refused(""), ParseCodeError::Empty);
        assert_eq!(refused(" \u{a0}\n"), ParseCodeError::Empty);
        assert_eq!(refused("TWO WORDS"), ParseCodeError::Unprintable);
        assert_eq!(refused("NUL\0"), ParseCodeError::Unprintable);
        assert_eq!(refused("ZERO\u{200b}WIDTH"), ParseCodeError::Unprintable);
        assert_eq!(code(&"x".repeat(64)).as_str().len(), 64);
        assert_eq!(refused(&"x".repeat(65)), ParseCodeError::TooLong);
        assert_eq!(refused(&"ß".repeat(33)), ParseCodeError::TooLong);
    }

    #[test]
    fn every_letter_has_one_normal_form_that_reads_back_as_itself() {
        for c in '\0'..=char::MAX {
            let Ok(normal) = PromocodeCode::parse(&c.to_string()) else {
                continue;
            };
            assert_eq!(
                PromocodeCode::parse(normal.as_str()).as_ref(),
                Ok(&normal),
                "{c:?}"
            );
            assert_eq!(code(&c.to_lowercase().to_string()), normal, "{c:?}");
            assert_eq!(code(&c.to_uppercase().to_string()), normal, "{c:?}");
        }
    }

    #[test]
    fn a_new_promocode_names_every_field_that_is_wrong() {
        let ids = (PromocodeId(Uuid::nil()), CampaignId(Uuid::nil()));
        let make = |code: &str, max_uses| {
            let code = code.to_owned();
            NewPromocode { code, max_uses }.into_promocode(ids.0, ids.1)
        };
        let errors = make("", Some(0)).unwrap_err();
        let fields: Vec<_> = errors.into_iter().map(PromocodeError::field).collect();
        assert_eq!(fields, ["code", "max_uses"]);
        assert_eq!(make("A", Some(0)), Err(vec![PromocodeError::MaxUses(0)]));
        let made = make(" once ", Some(1)).unwrap();
        assert_eq!(
            (made.code.as_str(), made.max_uses, made.disabled),
            ("ONCE", Some(1), false)
        );
    }

    proptest! {
        #[test]
        fn a_normal_form_is_printable_short_and_stable(typed in any::<String>()) {
            if let Ok(normal) = PromocodeCode::parse(&typed) {
                prop_assert!((1..=MAX_CODE_CHARS).contains(&normal.as_str().chars().count()));
                prop_assert!(!normal.as_str().chars().any(is_unprintable));
                prop_assert_eq!(PromocodeCode::parse(normal.as_str()), Ok(normal));
            }
        }
    }
}
