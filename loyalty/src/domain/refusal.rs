//! Refusals of dry runs: which of them are kept.

use chrono::Duration;
use shared::{contracts::Reason, ids::TariffId};

/// For how long one is not kept again.
pub const WINDOW: Duration = Duration::hours(1);

/// The most that are kept of one user within [`WINDOW`], so that nobody can fill the table by
/// trying codes in a loop.
pub const MOST_KEPT: usize = 30;

/// A dry run that was refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusedDryRun<'a> {
    /// As it was typed.
    pub promocode: &'a str,
    /// For what.
    pub tariff_id: TariffId,
    /// Why.
    pub reasons: &'a [Reason],
}

impl RefusedDryRun<'_> {
    /// Whether both say the same to an administrator: instants and counts in the reasons may differ.
    fn repeats(&self, other: &Self) -> bool {
        let codes = |refused: &Self| {
            refused
                .reasons
                .iter()
                .map(|reason| reason.code)
                .collect::<Vec<_>>()
        };
        self.promocode == other.promocode && self.tariff_id == other.tariff_id && codes(self) == codes(other)
    }
}

/// Whether `new` is to be kept, where `recent` are those of the same user that were kept within
/// [`WINDOW`] before it.
#[must_use]
pub fn is_worth_keeping(new: &RefusedDryRun<'_>, recent: &[RefusedDryRun<'_>]) -> bool {
    recent.len() < MOST_KEPT && !recent.iter().any(|known| known.repeats(new))
}

#[cfg(test)]
mod tests {
    use shared::contracts::RefusalCode;
    use uuid::Uuid;

    use super::*;

    fn reason(code: RefusalCode, found: i64) -> [Reason; 1] {
        [Reason {
            code,
            detail: "No.".to_owned(),
            expected: None,
            found: Some(found.into()),
        }]
    }

    const fn refused<'a>(promocode: &'a str, tariff: u128, reasons: &'a [Reason]) -> RefusedDryRun<'a> {
        RefusedDryRun {
            promocode,
            tariff_id: TariffId(Uuid::from_u128(tariff)),
            reasons,
        }
    }

    #[test]
    fn a_repeat_is_not_kept_and_whatever_differs_is() {
        let (unknown, again) = (
            reason(RefusalCode::UnknownPromocode, 1),
            reason(RefusalCode::UnknownPromocode, 2),
        );
        let exhausted = reason(RefusalCode::UsesExhausted, 1);
        let known = [refused("CODE", 1, &unknown)];
        assert!(!is_worth_keeping(&refused("CODE", 1, &again), &known));
        assert!(is_worth_keeping(&refused("CODE", 1, &exhausted), &known));
        assert!(is_worth_keeping(&refused("CODE", 2, &unknown), &known));
        assert!(is_worth_keeping(&refused("OTHER", 1, &unknown), &known));
    }

    #[test]
    fn no_more_than_so_many_are_kept_however_they_differ() {
        let unknown = reason(RefusalCode::UnknownPromocode, 1);
        let codes: Vec<_> = (0..MOST_KEPT).map(|number| format!("CODE-{number}")).collect();
        let known: Vec<_> = codes.iter().map(|code| refused(code, 1, &unknown)).collect();
        let new = refused("NEW", 1, &unknown);
        assert!(is_worth_keeping(&new, &known[1..]));
        assert!(!is_worth_keeping(&new, &known));
    }
}
