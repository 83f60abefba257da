//! What of a refusal its customer may know.

use shared::contracts::{Reason, RefusalCode};

use super::decision::unknown_promocode;

/// The customer's copy of the reasons, the only one that leaves loyalty. `typed` is the promocode
/// as they typed it.
///
/// A code that is meant for others reads as one that does not exist, and takes with it whatever
/// else would show that it does; what is about the users themselves stays. Each code comes once.
#[must_use]
pub fn mask(reasons: &[Reason], typed: &str) -> Vec<Reason> {
    let hidden = hides_the_promocode(reasons);
    let mut masked: Vec<Reason> = Vec::with_capacity(reasons.len());
    for reason in reasons {
        let is_told = !hidden || is_about_the_user_alone(reason.code);
        if is_told && masked.iter().all(|other| other.code != reason.code) {
            masked.push(reason.clone());
        }
    }
    if hidden {
        masked.push(unknown_promocode(typed));
    }
    masked
}

/// Whether the reasons tell of a promocode that their reader may not know of.
#[must_use]
pub fn hides_the_promocode(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reads_as_unknown(reason.code))
}

const fn reads_as_unknown(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::UnknownPromocode | RefusalCode::NotGranted)
}

/// Codes that would be the same for a promocode that does not exist.
const fn is_about_the_user_alone(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::UserBlocked | RefusalCode::TooManyAttempts)
}
