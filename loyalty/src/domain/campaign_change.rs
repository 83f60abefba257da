//! What administrators change of a campaign: each change makes a new version of it.

use iso_currency::Currency;
use shared::contracts::LocalizedText;

use super::{
    campaign::{Campaign, CampaignError, CampaignStatus, NewCampaign, RefundPolicy},
    discount::Discount,
    eligibility::Eligibility,
    local_time::Moment,
};

/// The terms that are to be others; what is none stays as it is. Where a term may be absent,
/// `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignChange {
    /// For administrators.
    pub name: Option<String>,
    /// What customers call it.
    pub title: Option<Option<LocalizedText>>,
    /// What its promocodes take off.
    pub discount: Option<Discount>,
    /// From when.
    pub starts_at: Option<Option<Moment>>,
    /// Until when.
    pub ends_at: Option<Option<Moment>>,
    /// The zone in which administrators think. A start and an end that are not changed with it
    /// stay the instants that they are.
    pub timezone: Option<Option<String>>,
    /// Uses in total.
    pub max_redemptions: Option<Option<i64>>,
    /// Uses for one user.
    pub max_per_user: Option<Option<i64>>,
    /// For whom and for what it is; as a whole.
    pub eligibility: Option<Eligibility>,
    /// Only for those to whom it was granted.
    pub requires_grant: Option<bool>,
    /// Shown to those it is for.
    pub listed: Option<bool>,
    /// What becomes of a use when its purchase is refunded.
    pub refund_policy: Option<RefundPolicy>,
}

impl CampaignChange {
    /// The next version of `campaign`, on a platform whose currency is `currency`; none if
    /// nothing would be other than it is.
    ///
    /// # Errors
    /// All fields that can't be taken.
    pub fn apply(
        self,
        campaign: &Campaign,
        currency: Currency,
    ) -> Result<Option<Campaign>, Vec<CampaignError>> {
        let was = campaign.clone();
        let terms = NewCampaign {
            name: self.name.unwrap_or(was.name),
            title: self.title.unwrap_or(was.title),
            discount: self.discount.unwrap_or(was.discount),
            starts_at: self.starts_at.unwrap_or(was.starts_at.map(Moment::Instant)),
            ends_at: self.ends_at.unwrap_or(was.ends_at.map(Moment::Instant)),
            timezone: self
                .timezone
                .unwrap_or_else(|| was.timezone.map(|zone| zone.name().to_owned())),
            max_redemptions: self.max_redemptions.unwrap_or(was.max_redemptions),
            max_per_user: self.max_per_user.unwrap_or(was.max_per_user),
            eligibility: self.eligibility.unwrap_or(was.eligibility),
            requires_grant: self.requires_grant.unwrap_or(was.requires_grant),
            listed: self.listed.unwrap_or(was.listed),
            refund_policy: self.refund_policy.unwrap_or(was.refund_policy),
        };
        let changed = Campaign {
            version: campaign.version,
            status: campaign.status,
            recounted: campaign.recounted,
            ..terms.into_campaign(campaign.id, currency)?
        };
        if changed == *campaign {
            return Ok(None);
        }
        let mut changed = changed.next_version();
        if campaign.max_redemptions.is_none() && changed.max_redemptions.is_some() {
            changed.recounted.total = Some(changed.version);
        }
        if campaign.max_per_user.is_none() && changed.max_per_user.is_some() {
            changed.recounted.per_user = Some(changed.version);
        }
        Ok(Some(changed))
    }
}

/// An archived campaign is over for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the campaign is archived")]
pub struct Archived;

impl Campaign {
    /// The same terms, one version on: for whatever changes without them.
    #[must_use]
    pub fn next_version(self) -> Self {
        Self {
            version: self.version + 1,
            ..self
        }
    }

    /// The next version, which stands at `status`; none if it stands there already.
    ///
    /// # Errors
    /// When it is archived: nothing brings it back.
    pub fn moved_to(&self, status: CampaignStatus) -> Result<Option<Self>, Archived> {
        if self.status == status {
            return Ok(None);
        }
        if self.status == CampaignStatus::Archived {
            return Err(Archived);
        }
        let moved = Self {
            status,
            ..self.clone()
        };
        Ok(Some(moved.next_version()))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use shared::ids::CampaignId;
    use uuid::Uuid;

    use super::*;

    fn campaign() -> Campaign {
        let new = NewCampaign {
            name: "Summer".to_owned(),
            title: None,
            discount: Discount::Free {},
            starts_at: Some(Moment::Instant(DateTime::UNIX_EPOCH)),
            ends_at: None,
            timezone: Some("Asia/Kolkata".to_owned()),
            max_redemptions: Some(5),
            max_per_user: None,
            eligibility: Eligibility {
                first_purchase: true,
                ..Eligibility::default()
            },
            requires_grant: false,
            listed: true,
            refund_policy: RefundPolicy::KeepUse,
        };
        new.into_campaign(CampaignId(Uuid::nil()), Currency::RUB).unwrap()
    }

    #[test]
    fn what_is_not_named_stays_and_what_does_not_change_makes_no_version() {
        let campaign = campaign();
        let same = CampaignChange {
            name: Some(" Summer ".to_owned()),
            max_redemptions: Some(Some(5)),
            ..CampaignChange::default()
        };
        for change in [CampaignChange::default(), same] {
            assert_eq!(change.apply(&campaign, Currency::RUB), Ok(None));
        }
        let change = CampaignChange {
            ends_at: Some(Some("2026-12-31".parse().unwrap())),
            max_redemptions: Some(None),
            ..CampaignChange::default()
        };
        let changed = change.apply(&campaign, Currency::RUB).unwrap().unwrap();
        let ends_at = Some("2026-12-31T18:30:00Z".parse().unwrap());
        let expected = Campaign {
            version: 2,
            ends_at,
            max_redemptions: None,
            ..campaign
        };
        assert_eq!(changed, expected);
    }

    #[test]
    fn a_limit_that_is_added_counts_what_was_taken_by_older_versions() {
        let change = |total, per_user| CampaignChange {
            max_redemptions: Some(total),
            max_per_user: Some(per_user),
            ..CampaignChange::default()
        };
        let mut campaign = campaign();
        for (total, per_user, recounted) in [
            (Some(6), Some(1), (None, Some(2))),
            (Some(7), Some(2), (None, Some(2))),
            (None, None, (None, Some(2))),
            (Some(7), None, (Some(5), Some(2))),
            (Some(7), Some(3), (Some(5), Some(6))),
        ] {
            let changed = change(total, per_user).apply(&campaign, Currency::RUB);
            campaign = changed.unwrap().unwrap();
            assert_eq!((campaign.recounted.total, campaign.recounted.per_user), recounted);
        }
    }

    #[test]
    fn terms_that_do_not_fit_together_are_refused_though_only_one_is_changed() {
        let change = CampaignChange {
            ends_at: Some(Some(Moment::Instant(DateTime::UNIX_EPOCH))),
            ..CampaignChange::default()
        };
        let errors = change.apply(&campaign(), Currency::RUB).unwrap_err();
        assert_eq!(errors, [CampaignError::EndsBeforeItStarts]);
    }

    #[test]
    fn a_campaign_pauses_and_resumes_but_is_archived_for_good() {
        use CampaignStatus::{Active, Archived as Over, Paused};
        let active = campaign();
        assert_eq!(active.moved_to(Active), Ok(None));
        let paused = active.moved_to(Paused).unwrap().unwrap();
        assert_eq!((paused.status, paused.version), (Paused, 2));
        let resumed = paused.moved_to(Active).unwrap().unwrap();
        assert_eq!((resumed.status, resumed.version), (Active, 3));
        let archived = paused.moved_to(Over).unwrap().unwrap();
        assert_eq!(archived.moved_to(Over), Ok(None));
        for status in [Active, Paused] {
            assert_eq!(archived.moved_to(status), Err(Archived));
        }
    }
}
