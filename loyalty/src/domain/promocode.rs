//! Promocodes: the string that a customer types, and what it stands for.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::{
    ids::{CampaignId, PromocodeId},
    promocode::{MAX_TYPED_CHARS, visible},
};

use super::campaign::MOST_USES;

pub use shared::promocode::{MAX_CODE_CHARS, NotAPromocode as ParseCodeError};

/// A code as customers type it, in its normal form (see [`shared::promocode::normal_form`]): two that
/// differ only in case, invisible characters, surrounding space or the way in which their letters are
/// encoded are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PromocodeCode(String);

impl PromocodeCode {
    /// Reads what was typed.
    ///
    /// # Errors
    /// When it is empty, too long, or has spaces or invisible characters in it.
    pub fn parse(typed: &str) -> Result<Self, ParseCodeError> {
        shared::promocode::normal_form(typed).map(Self)
    }

    /// A code as it is stored. It may be in an older normal form: see [`Self::is_typeable`].
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// Whether it is found by what is typed. A code that was made under older rules is not, if another
    /// promocode has its normal form, or if it has none.
    #[must_use]
    pub fn is_typeable(&self) -> bool {
        Self::parse(&self.0).as_ref() == Ok(self)
    }

    /// The code as it is stored and looked up.
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

/// Where a text goes on.
const CUT: &str = " …";

/// What was typed where a promocode belongs, fit to be kept and shown: anything may have been typed,
/// and PostgreSQL stores no NUL. It has the same normal form as what was typed, or none like that; if
/// what was typed is too long, it ends in `…` behind a space.
#[must_use]
pub fn as_shown(typed: &str) -> String {
    let shown = visible(&typed.trim().chars().take(MAX_TYPED_CHARS).collect::<String>());
    let shown = shown.replace(char::is_control, "\u{fffd}");
    match PromocodeCode::parse(typed) {
        Err(ParseCodeError::TooLong) => {
            // What is shown already ends so, and stays as it is.
            let shown = shown.strip_suffix(CUT).unwrap_or(&shown);
            let begin: String = shown.chars().take(MAX_CODE_CHARS - 2).collect();
            format!("{begin}{CUT}")
        }
        _ => shown,
    }
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

    #[test]
    fn a_code_of_older_rules_is_not_found_by_what_is_typed() {
        let code = |typed: &str| PromocodeCode::parse(typed).unwrap();
        assert!(code("caf\u{e9}").is_typeable());
        assert_eq!(code("caf\u{e9}"), code("CAFE\u{301}"));
        for old in [
            "CAFE\u{301}",
            "SUM\u{2061}MER",
            "\u{3164}",
            "A\u{2800}B",
            "summer",
        ] {
            assert!(!PromocodeCode::stored(old.to_owned()).is_typeable(), "{old:?}");
        }
    }

    #[test]
    fn what_was_typed_is_shown_without_what_is_not_seen() {
        assert_eq!(as_shown("\u{202e} evil\0"), "evil\u{fffd}");
        assert_eq!(as_shown(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(as_shown(&"x".repeat(10_000)), format!("{} …", "x".repeat(62)));
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
        fn what_is_shown_is_found_like_what_was_typed(typed in any::<String>(), times in 1_usize..20) {
            let typed = typed.repeat(times);
            let shown = as_shown(&typed);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert_eq!(PromocodeCode::parse(&shown).ok(), PromocodeCode::parse(&typed).ok());
            prop_assert_eq!(as_shown(&shown), shown);
        }
    }
}
