//! What is in the way of those to whom a promocode is granted.

use shared::contracts::{Reason, RefusalCode};

use super::{CONDITIONS, Case, Found, HoldRequest, Usage};
use crate::domain::eligibility::Relation;

/// Why whoever asks could not use a promocode that is granted to them, whatever they buy: a letter must
/// not promise it. That its campaign has not started yet is no reason.
#[must_use]
pub fn obstacles(request: &HoldRequest, found: Found<'_>, usage: &Usage) -> Vec<Reason> {
    let case = Case {
        request,
        promocode: Some(found.promocode),
        campaign: found.campaign,
        usage,
        relation: Relation {
            in_group: true,
            granted: true,
        },
    };
    let reasons = CONDITIONS.iter().filter_map(|condition| condition(&case));
    reasons
        .filter(|reason| stands_in_the_way_of_every_purchase(reason.code))
        .collect()
}

const fn stands_in_the_way_of_every_purchase(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::PromocodeDisabled
            | RefusalCode::CampaignEnded
            | RefusalCode::CampaignPaused
            | RefusalCode::UsesExhausted
            | RefusalCode::UserLimitReached
            | RefusalCode::NotFirstPurchase
            | RefusalCode::NotNewUser
    )
}
