//! Tests of [`super`].

use chrono::{DateTime, Duration};
use shared::money::{Amount, Money};
use uuid::Uuid;

use super::*;

const ID: CampaignId = CampaignId(Uuid::nil());

fn summer() -> NewCampaign {
    let starts_at = DateTime::UNIX_EPOCH;
    NewCampaign {
        name: " Summer ".to_owned(),
        title: None,
        discount: Discount::Free {},
        starts_at: Some(Moment::Instant(starts_at)),
        ends_at: Some(Moment::Instant(starts_at + Duration::days(1))),
        timezone: Some("Europe/Moscow".to_owned()),
        max_redemptions: Some(1),
        max_per_user: None,
        eligibility: Eligibility::default(),
        requires_grant: false,
        listed: false,
        refund_policy: RefundPolicy::default(),
    }
}

#[test]
fn a_new_campaign_starts_active_in_its_first_version() {
    let campaign = summer().into_campaign(ID, Currency::RUB).unwrap();
    assert_eq!(campaign.name, "Summer");
    assert_eq!(campaign.timezone, Some(Tz::Europe__Moscow));
    assert_eq!((campaign.version, campaign.status), (1, CampaignStatus::Active));
    assert_eq!((campaign.max_redemptions, campaign.max_per_user), (Some(1), None));
}

#[test]
fn a_campaign_that_is_wrong_everywhere_says_so_for_every_field() {
    let wrong = NewCampaign {
        name: "a\0".repeat(101),
        title: None,
        discount: Discount::AmountOff {
            amount: Money::new(Amount(0), Currency::RUB),
        },
        starts_at: Some(Moment::Instant(DateTime::UNIX_EPOCH - Duration::seconds(1))),
        ends_at: Some(Moment::Instant(DateTime::UNIX_EPOCH - Duration::seconds(1))),
        timezone: Some("Mars/Olympus".to_owned()),
        max_redemptions: Some(0),
        max_per_user: Some(MOST_USES + 1),
        eligibility: Eligibility {
            users: [shared::ids::UserId(Uuid::nil())].into(),
            min_price: Some(Money::new(Amount(1), Currency::EUR)),
            ..Eligibility::default()
        },
        requires_grant: true,
        listed: false,
        refund_policy: RefundPolicy::default(),
    };
    let errors = wrong.into_campaign(ID, Currency::RUB).unwrap_err();
    let fields: Vec<_> = errors.iter().map(CampaignError::field).collect();
    assert_eq!(
        fields,
        [
            "name",
            "name",
            "discount.amount",
            "max_redemptions",
            "max_per_user",
            "eligibility.min_price",
            "requires_grant",
            "timezone",
            "starts_at",
            "ends_at",
            "ends_at",
        ]
    );
}

#[test]
fn a_campaign_without_a_start_may_end_whenever() {
    let summer = NewCampaign {
        starts_at: None,
        ends_at: Some(Moment::Instant(DateTime::UNIX_EPOCH)),
        ..summer()
    };
    assert_eq!(summer.into_campaign(ID, Currency::RUB).unwrap().starts_at, None);
}

#[test]
fn a_name_has_1_to_200_characters() {
    let named = |name: String| NewCampaign { name, ..summer() }.into_campaign(ID, Currency::RUB);
    assert!(named("ё".repeat(200)).is_ok());
    assert_eq!(named("ё".repeat(201)), Err(vec![CampaignError::NameLength]));
    assert_eq!(named("  ".to_owned()), Err(vec![CampaignError::NameLength]));
}

#[test]
fn statuses_read_back_as_they_were_written() {
    for status in [
        CampaignStatus::Active,
        CampaignStatus::Paused,
        CampaignStatus::Archived,
    ] {
        assert_eq!(CampaignStatus::parse(status.as_str()), Some(status));
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    assert_eq!(CampaignStatus::parse("Active"), None);
}
