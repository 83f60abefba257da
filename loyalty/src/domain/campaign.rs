//! Campaigns: the terms under which promocodes are given.

use chrono::Datelike as _;
use chrono_tz::Tz;
use iso_currency::Currency;
use serde::{Deserialize, Serialize};
use shared::{clock::Instant, contracts::LocalizedText, ids::CampaignId};

use super::{
    discount::{Discount, DiscountError},
    eligibility::{Eligibility, EligibilityError},
    local_time::Moment,
};

/// The most characters that a campaign's name may have.
pub const MAX_NAME_CHARS: usize = 200;

/// The highest limit that a campaign or a promocode may have; more is no limit.
pub const MOST_USES: i64 = 1_000_000_000_000;

/// The years in which a campaign may start and end.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// Whether a campaign's promocodes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// Taken, between start and end.
    Active,
    /// Refused until it is resumed.
    Paused,
    /// Over for good.
    Archived,
}

impl CampaignStatus {
    /// As it is stored and written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }

    /// Reads what [`Self::as_str`] wrote; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Paused, Self::Archived]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What becomes of a use when its purchase is refunded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundPolicy {
    /// It goes back to the promocode, and anybody may have it.
    #[default]
    ReturnUse,
    /// It stays taken.
    KeepUse,
}

impl RefundPolicy {
    /// As it is stored and written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReturnUse => "return_use",
            Self::KeepUse => "keep_use",
        }
    }

    /// Reads what [`Self::as_str`] wrote; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ReturnUse, Self::KeepUse]
            .into_iter()
            .find(|policy| policy.as_str() == text)
    }
}

/// A campaign in one version of its terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Which one.
    pub id: CampaignId,
    /// Grows by one with every change of it or of one of its promocodes; a redemption remembers
    /// the one it was priced with.
    pub version: i64,
    /// For administrators; customers never see it.
    pub name: String,
    /// What customers call it; none if they see no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<LocalizedText>,
    /// What its promocodes take off.
    pub discount: Discount,
    /// The first instant at which they are taken; none is since ever.
    pub starts_at: Option<Instant>,
    /// The first instant at which they are no longer taken; none is open-ended.
    pub ends_at: Option<Instant>,
    /// The zone in which its administrators think; none is UTC.
    pub timezone: Option<Tz>,
    /// Whether they are taken at all.
    pub status: CampaignStatus,
    /// Uses of all its promocodes together; none is unlimited.
    pub max_redemptions: Option<i64>,
    /// Uses that one user may have of all its promocodes together; none is unlimited.
    pub max_per_user: Option<i64>,
    /// For whom and for what it is.
    pub eligibility: Eligibility,
    /// Only for those to whom an administrator granted one of its promocodes.
    pub requires_grant: bool,
    /// Shown to those it is for.
    pub listed: bool,
    /// What becomes of a use when its purchase is refunded.
    pub refund_policy: RefundPolicy,
    /// Which of its counts began when uses were taken already.
    #[serde(default, skip_serializing_if = "Recounted::is_nothing")]
    pub recounted: Recounted,
}

/// The versions of a campaign in which a limit was added to it last. A use that was taken by an
/// older version counts from then on, though it was not counted when it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recounted {
    /// The limit of all its uses.
    pub total: Option<i64>,
    /// The limit of each user's.
    pub per_user: Option<i64>,
}

impl Recounted {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Campaign {
    /// Whether groups decide about who may use it.
    #[must_use]
    pub fn asks_for_groups(&self) -> bool {
        !self.requires_grant && !self.eligibility.groups.is_empty()
    }

    /// Whether grants decide about who may use it.
    #[must_use]
    pub fn asks_for_grants(&self) -> bool {
        self.requires_grant || self.eligibility.names_people()
    }
}

/// What an administrator asks for when making a campaign; not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCampaign {
    /// For administrators.
    pub name: String,
    /// What customers are to call it.
    pub title: Option<LocalizedText>,
    /// What its promocodes are to take off.
    pub discount: Discount,
    /// From when; none is since ever. The present would be the present of this machine's clock,
    /// and who asks a moment later may be judged by another one that lags behind.
    pub starts_at: Option<Moment>,
    /// Until when; none is open-ended.
    pub ends_at: Option<Moment>,
    /// The IANA name of the zone in which they think; none is UTC.
    pub timezone: Option<String>,
    /// How many uses in total; none is unlimited.
    pub max_redemptions: Option<i64>,
    /// How many uses for one user; none is unlimited.
    pub max_per_user: Option<i64>,
    /// For whom and for what it is to be.
    pub eligibility: Eligibility,
    /// Only for those to whom a promocode of it is granted.
    pub requires_grant: bool,
    /// Whether it is to be shown to those it is for.
    pub listed: bool,
    /// What is to become of a use when its purchase is refunded.
    pub refund_policy: RefundPolicy,
}

/// One field of a [`NewCampaign`] that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CampaignError {
    /// Blank, or more than [`MAX_NAME_CHARS`] characters.
    #[error("name must have 1 to {MAX_NAME_CHARS} characters")]
    NameLength,
    /// A control character in the name.
    #[error("name must not have control characters in it")]
    NameUnprintable,
    /// A title that is blank in a language, or has more than [`MAX_NAME_CHARS`] characters.
    #[error("{field} must have 1 to {MAX_NAME_CHARS} characters")]
    TitleLength {
        /// Which text, as it is called on the wire.
        field: &'static str,
    },
    /// A control character in a title.
    #[error("{field} must not have control characters in it")]
    TitleUnprintable {
        /// Which text, as it is called on the wire.
        field: &'static str,
    },
    /// The discount can't be given on this platform.
    #[error(transparent)]
    Discount(#[from] DiscountError),
    /// An instant that can't be meant, and that databases disagree about.
    #[error("{field} must be in the years 1970 to 9999")]
    InstantOutOfRange {
        /// Which instant, as it is called on the wire.
        field: &'static str,
    },
    /// It would be over before it began.
    #[error("ends_at must be after starts_at")]
    EndsBeforeItStarts,
    /// No such zone.
    #[error("timezone must be an IANA name, such as \"Europe/Moscow\"")]
    UnknownTimezone,
    /// A limit that admits nobody.
    #[error("{field} must be at least 1, not {found}; leave it out for no limit")]
    LimitBelowOne {
        /// Which limit, as it is called on the wire.
        field: &'static str,
        /// What was given.
        found: i64,
    },
    /// A limit that nobody reaches.
    #[error("{field} must be at most {MOST_USES}, not {found}; leave it out for no limit")]
    LimitTooHigh {
        /// Which limit, as it is called on the wire.
        field: &'static str,
        /// What was given.
        found: i64,
    },
    /// For whom it is can't be taken.
    #[error(transparent)]
    Eligibility(#[from] EligibilityError),
    /// Two lists of people, of which one would say nothing.
    #[error("requires_grant and eligibility.users or eligibility.groups exclude each other")]
    GrantAndNames,
}

impl CampaignError {
    /// The field, as it is called on the wire.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::NameLength | Self::NameUnprintable => "name",
            Self::Discount(error) => error.field(),
            Self::EndsBeforeItStarts => "ends_at",
            Self::UnknownTimezone => "timezone",
            Self::Eligibility(error) => error.field(),
            Self::GrantAndNames => "requires_grant",
            Self::TitleLength { field }
            | Self::TitleUnprintable { field }
            | Self::InstantOutOfRange { field }
            | Self::LimitBelowOne { field, .. }
            | Self::LimitTooHigh { field, .. } => field,
        }
    }
}

impl NewCampaign {
    /// The campaign `id` in its first version, active, on a platform whose currency is
    /// `currency`.
    ///
    /// # Errors
    /// All fields that can't be taken.
    pub fn into_campaign(self, id: CampaignId, currency: Currency) -> Result<Campaign, Vec<CampaignError>> {
        let mut errors = self.errors(currency);
        let timezone = self.timezone.as_ref().map(|name| name.parse()).transpose();
        let timezone = timezone.unwrap_or_else(|_| {
            errors.push(CampaignError::UnknownTimezone);
            None
        });
        let zone = timezone.unwrap_or(Tz::UTC);
        let mut resolve = |field, moment: Option<Moment>, resolved: fn(Moment, Tz) -> Option<Instant>| {
            let instant = moment.map(|moment| resolved(moment, zone));
            let fits = |instant: &Instant| YEARS.contains(&instant.year());
            if instant.is_some_and(|instant| !instant.as_ref().is_some_and(fits)) {
                errors.push(CampaignError::InstantOutOfRange { field });
            }
            instant.flatten()
        };
        let starts_at = resolve("starts_at", self.starts_at, Moment::as_start);
        let ends_at = resolve("ends_at", self.ends_at, Moment::as_end);
        let both = starts_at.zip(ends_at);
        if both.is_some_and(|(starts_at, ends_at)| ends_at <= starts_at) {
            errors.push(CampaignError::EndsBeforeItStarts);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Campaign {
            id,
            version: 1,
            name: self.name.trim().to_owned(),
            title: self.title.map(|title| LocalizedText {
                en: title.en.trim().to_owned(),
                ru: title.ru.trim().to_owned(),
            }),
            discount: self.discount,
            starts_at,
            ends_at,
            timezone,
            status: CampaignStatus::Active,
            max_redemptions: self.max_redemptions,
            max_per_user: self.max_per_user,
            eligibility: self.eligibility,
            requires_grant: self.requires_grant,
            listed: self.listed,
            refund_policy: self.refund_policy,
            recounted: Recounted::default(),
        })
    }

    fn errors(&self, currency: Currency) -> Vec<CampaignError> {
        let mut errors = Vec::new();
        if !is_name_length(self.name.trim()) {
            errors.push(CampaignError::NameLength);
        }
        if !is_printable(self.name.trim()) {
            errors.push(CampaignError::NameUnprintable);
        }
        let texts = self
            .title
            .iter()
            .flat_map(|title| [("title.en", &title.en), ("title.ru", &title.ru)]);
        for (field, text) in texts {
            if !is_name_length(text.trim()) {
                errors.push(CampaignError::TitleLength { field });
            }
            if !is_printable(text.trim()) {
                errors.push(CampaignError::TitleUnprintable { field });
            }
        }
        if let Err(error) = self.discount.validate(currency) {
            errors.push(error.into());
        }
        for (field, limit) in [
            ("max_redemptions", self.max_redemptions),
            ("max_per_user", self.max_per_user),
        ] {
            match limit {
                Some(found) if found < 1 => errors.push(CampaignError::LimitBelowOne { field, found }),
                Some(found) if found > MOST_USES => errors.push(CampaignError::LimitTooHigh { field, found }),
                _ => {}
            }
        }
        let eligibility = self.eligibility.errors(currency);
        errors.extend(eligibility.into_iter().map(CampaignError::from));
        if self.requires_grant && self.eligibility.names_people() {
            errors.push(CampaignError::GrantAndNames);
        }
        errors
    }
}

/// `made`, unless it names what there is not.
///
/// # Errors
/// Those of `made` and of all that is not there.
pub fn unless_unknown<T>(
    made: Result<T, Vec<CampaignError>>,
    unknown: Vec<EligibilityError>,
) -> Result<T, Vec<CampaignError>> {
    let (made, mut errors) = match made {
        Ok(made) => (Some(made), Vec::new()),
        Err(errors) => (None, errors),
    };
    errors.extend(unknown.into_iter().map(CampaignError::from));
    match made {
        Some(made) if errors.is_empty() => Ok(made),
        _ => Err(errors),
    }
}

/// Whether a name, without the space around it, is neither blank nor too long.
pub(super) fn is_name_length(name: &str) -> bool {
    !name.is_empty() && name.chars().nth(MAX_NAME_CHARS).is_none()
}

/// Whether there is nothing in it that no database keeps and nobody sees.
pub(super) fn is_printable(name: &str) -> bool {
    !name.chars().any(char::is_control)
}

#[cfg(test)]
#[path = "campaign_tests.rs"]
mod tests;
