//! Redemptions: loyalty's one decision for one purchase, and what becomes of it.

use serde::{Deserialize, Serialize};
use shared::contracts::NotHeldReason;

/// Where a redemption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedemptionStatus {
    /// One use is taken; the purchase is not over.
    Held,
    /// The purchase was paid; the use stays taken.
    Confirmed,
    /// The purchase failed; the use was given back, or never taken.
    Cancelled,
    /// The purchase was refunded and the use given back.
    Returned,
    /// The promocode was refused; no use was taken.
    Refused,
}

impl RedemptionStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Held,
        Self::Confirmed,
        Self::Cancelled,
        Self::Returned,
        Self::Refused,
    ];

    /// As it is stored and written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Returned => "returned",
            Self::Refused => "refused",
        }
    }

    /// Reads what [`Self::as_str`] wrote; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether a use counts as taken.
    #[must_use]
    pub const fn takes_a_use(self) -> bool {
        matches!(self, Self::Held | Self::Confirmed)
    }
}

/// What billing says became of a purchase.
///
/// A purchase goes from pending to paid or failed, and from paid to refunded; never from
/// failed to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseOutcome {
    /// It was charged.
    Paid,
    /// It ended without a charge.
    Failed,
    /// It was charged, and the money went back.
    Refunded {
        /// Whether the campaign's terms give the use back too.
        return_use: bool,
    },
}

/// What is to be written about a redemption; nothing where `status` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Where it stands now; none if nothing changes.
    pub status: Option<RedemptionStatus>,
    /// The one use that was taken goes back to the counters.
    pub use_given_back: bool,
    /// The version of the purchase that the redemption has followed; 0 before any outcome.
    pub purchase_version: i64,
}

/// Makes a redemption follow its purchase: `current` is where it stands and the version of the
/// purchase that it has followed (0 before any outcome), none if no hold has come yet.
///
/// The purchase's highest version wins: what is older or repeated changes nothing. A failure
/// before any hold is kept as `cancelled`, so that the late hold takes no use. A use goes back
/// at most once, since only what takes one can give it back, and nothing takes one again.
#[must_use]
pub fn settle(
    current: Option<(RedemptionStatus, i64)>,
    outcome: PurchaseOutcome,
    purchase_version: i64,
) -> Settlement {
    let seen = current.map_or(0, |(_, seen)| seen);
    let unchanged = Settlement {
        status: None,
        use_given_back: false,
        purchase_version: seen,
    };
    let status = match (current, outcome) {
        // No charge is made before the hold has been answered, so there is nothing to follow;
        // if there ever were, the hold's own question to billing would settle it.
        (None, PurchaseOutcome::Paid | PurchaseOutcome::Refunded { .. }) => return unchanged,
        (None, PurchaseOutcome::Failed) => RedemptionStatus::Cancelled,
        (Some(_), _) if purchase_version <= seen => return unchanged,
        // No use is taken, and it may be somebody else's by now.
        (Some((status, _)), _) if !status.takes_a_use() => return unchanged,
        (Some(_), PurchaseOutcome::Failed) => RedemptionStatus::Cancelled,
        (Some(_), PurchaseOutcome::Refunded { return_use: true }) => RedemptionStatus::Returned,
        // A refund that overtakes its payment says that it was paid.
        (Some(_), PurchaseOutcome::Paid | PurchaseOutcome::Refunded { return_use: false }) => {
            RedemptionStatus::Confirmed
        }
    };
    Settlement {
        status: Some(status),
        use_given_back: current.is_some() && !status.takes_a_use(),
        purchase_version,
    }
}

/// What a hold gets whose purchase has been decided already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerAgain {
    /// The stored price, once more.
    Held,
    /// The stored reasons, once more.
    Refused,
    /// The stored price, once more, and why no use was taken at it.
    NotHeld(NotHeldReason),
    /// Nothing: the purchase is over, and nobody waits.
    Nothing,
}

/// The answer to a repeated or late hold for a redemption that stands at `status`; `not_held` says
/// why no use was taken, where that was the answer.
#[must_use]
pub const fn answer_again(status: RedemptionStatus, not_held: Option<NotHeldReason>) -> AnswerAgain {
    match (status, not_held) {
        (RedemptionStatus::Held | RedemptionStatus::Confirmed, _) => AnswerAgain::Held,
        (RedemptionStatus::Refused, _) => AnswerAgain::Refused,
        (RedemptionStatus::Cancelled, Some(reason)) => AnswerAgain::NotHeld(reason),
        (RedemptionStatus::Cancelled | RedemptionStatus::Returned, _) => AnswerAgain::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    const PAID: PurchaseOutcome = PurchaseOutcome::Paid;
    const FAILED: PurchaseOutcome = PurchaseOutcome::Failed;
    const REFUNDED: PurchaseOutcome = PurchaseOutcome::Refunded { return_use: true };
    const REFUNDED_ONLY: PurchaseOutcome = PurchaseOutcome::Refunded { return_use: false };

    fn settled(status: RedemptionStatus, use_given_back: bool, purchase_version: i64) -> Settlement {
        Settlement {
            status: Some(status),
            use_given_back,
            purchase_version,
        }
    }

    fn untouched(purchase_version: i64) -> Settlement {
        Settlement {
            status: None,
            use_given_back: false,
            purchase_version,
        }
    }

    #[test]
    fn a_held_use_is_confirmed_when_paid_and_given_back_when_failed() {
        let held = Some((RedemptionStatus::Held, 0));
        assert_eq!(
            settle(held, PAID, 2),
            settled(RedemptionStatus::Confirmed, false, 2)
        );
        assert_eq!(
            settle(held, FAILED, 2),
            settled(RedemptionStatus::Cancelled, true, 2)
        );
    }

    #[test]
    fn a_refund_returns_the_use_only_if_the_terms_say_so() {
        let confirmed = Some((RedemptionStatus::Confirmed, 2));
        assert_eq!(
            settle(confirmed, REFUNDED, 3),
            settled(RedemptionStatus::Returned, true, 3)
        );
        assert_eq!(
            settle(confirmed, REFUNDED_ONLY, 3),
            settled(RedemptionStatus::Confirmed, false, 3)
        );
    }

    #[test]
    fn a_refund_that_overtakes_its_payment_is_right_too() {
        let refund_first = settle(Some((RedemptionStatus::Held, 0)), REFUNDED, 3);
        assert_eq!(refund_first, settled(RedemptionStatus::Returned, true, 3));
        assert_eq!(
            settle(Some((RedemptionStatus::Returned, 3)), PAID, 2),
            untouched(3)
        );
    }

    #[test]
    fn what_is_repeated_or_older_changes_nothing() {
        let confirmed = Some((RedemptionStatus::Confirmed, 3));
        for outcome in [PAID, FAILED, REFUNDED, REFUNDED_ONLY] {
            assert_eq!(settle(confirmed, outcome, 3), untouched(3));
            assert_eq!(settle(confirmed, outcome, 2), untouched(3));
        }
    }

    #[test]
    fn a_failure_before_its_hold_is_remembered_and_gives_nothing_back() {
        assert_eq!(
            settle(None, FAILED, 2),
            settled(RedemptionStatus::Cancelled, false, 2)
        );
        assert_eq!(
            answer_again(RedemptionStatus::Cancelled, None),
            AnswerAgain::Nothing
        );
    }

    #[test]
    fn what_takes_no_use_stays_as_it_is() {
        for status in RedemptionStatus::ALL {
            if status.takes_a_use() {
                continue;
            }
            for outcome in [PAID, FAILED, REFUNDED, REFUNDED_ONLY] {
                assert_eq!(settle(Some((status, 2)), outcome, 9), untouched(2));
            }
        }
        assert_eq!(settle(None, PAID, 2), untouched(0));
        assert_eq!(settle(None, REFUNDED, 3), untouched(0));
    }

    #[test]
    fn a_repeated_hold_gets_the_answer_that_was_stored() {
        let answers = RedemptionStatus::ALL.map(|status| answer_again(status, None));
        use AnswerAgain::{Held, Nothing, Refused};
        assert_eq!(answers, [Held, Held, Nothing, Nothing, Refused]);
        let reason = NotHeldReason::PriceChanged;
        let not_held = answer_again(RedemptionStatus::Cancelled, Some(reason));
        assert_eq!(not_held, AnswerAgain::NotHeld(reason));
    }

    #[test]
    fn statuses_read_back_as_they_were_written() {
        for status in RedemptionStatus::ALL {
            assert_eq!(RedemptionStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(RedemptionStatus::parse("Held"), None);
    }

    /// What reaches loyalty about one purchase.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Arrival {
        Hold,
        Outcome(PurchaseOutcome, i64),
    }

    /// A redemption as the application keeps it, and the uses that are taken.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    struct Kept {
        row: Option<(RedemptionStatus, i64)>,
        uses: i64,
    }

    impl Kept {
        fn take(mut self, arrival: Arrival, admitted: bool) -> Self {
            match (arrival, self.row) {
                (Arrival::Hold, Some(_)) => {}
                (Arrival::Hold, None) if admitted => {
                    self.row = Some((RedemptionStatus::Held, 0));
                    self.uses += 1;
                }
                (Arrival::Hold, None) => self.row = Some((RedemptionStatus::Refused, 0)),
                (Arrival::Outcome(outcome, version), row) => {
                    let settlement = settle(row, outcome, version);
                    if let Some(status) = settlement.status {
                        self.row = Some((status, settlement.purchase_version));
                    }
                    self.uses -= i64::from(settlement.use_given_back);
                }
            }
            self
        }
    }

    fn permutations(items: &[Arrival]) -> Vec<Vec<Arrival>> {
        if items.is_empty() {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for at in 0..items.len() {
            let mut rest = items.to_vec();
            let first = rest.remove(at);
            for mut tail in permutations(&rest) {
                tail.insert(0, first);
                all.push(tail);
            }
        }
        all
    }

    /// Runs every order in which the arrivals can come, each of them twice.
    fn ends(arrivals: &[Arrival], possible: impl Fn(&[Arrival]) -> bool) -> Vec<Kept> {
        let twice: Vec<_> = arrivals.iter().chain(arrivals).copied().collect();
        let mut ends: Vec<Kept> = permutations(&twice)
            .into_iter()
            .filter(|order| possible(order))
            .map(|order| {
                order.into_iter().fold(Kept::default(), |kept, arrival| {
                    let kept = kept.take(arrival, true);
                    assert!((0..=1).contains(&kept.uses), "a use is taken and given back once");
                    kept
                })
            })
            .collect();
        ends.dedup();
        ends
    }

    #[test]
    fn every_order_of_a_paid_purchase_ends_the_same() {
        // The charge needs the answer to the hold, so the first hold comes first.
        let hold_first = |order: &[Arrival]| order[0] == Arrival::Hold;
        for (refund, status, uses) in [
            (None, RedemptionStatus::Confirmed, 1),
            (Some(REFUNDED_ONLY), RedemptionStatus::Confirmed, 1),
            (Some(REFUNDED), RedemptionStatus::Returned, 0),
        ] {
            let mut arrivals = vec![Arrival::Hold, Arrival::Outcome(PAID, 2)];
            arrivals.extend(refund.map(|refund| Arrival::Outcome(refund, 3)));
            let version = if refund.is_some() { 3 } else { 2 };
            let row = Some((status, version));
            assert_eq!(ends(&arrivals, hold_first), [Kept { row, uses }]);
        }
    }

    #[test]
    fn every_order_of_a_failed_purchase_ends_cancelled_without_a_use() {
        let arrivals = [Arrival::Hold, Arrival::Outcome(FAILED, 2)];
        let row = Some((RedemptionStatus::Cancelled, 2));
        assert_eq!(ends(&arrivals, |_| true), [Kept { row, uses: 0 }]);
    }

    proptest! {
        #[test]
        fn no_sequence_takes_two_uses_or_gives_back_what_was_not_taken(
            arrivals in prop::collection::vec((0..5_usize, 1..6_i64, any::<bool>()), 0..20),
        ) {
            let mut kept = Kept::default();
            for (kind, version, admitted) in arrivals {
                let arrival = match kind {
                    0 => Arrival::Hold,
                    1 => Arrival::Outcome(PAID, version),
                    2 => Arrival::Outcome(FAILED, version),
                    3 => Arrival::Outcome(REFUNDED, version),
                    _ => Arrival::Outcome(REFUNDED_ONLY, version),
                };
                let before = kept;
                kept = kept.take(arrival, admitted);
                prop_assert_eq!(kept.take(arrival, admitted), kept, "a repeat changes nothing");
                let taken = kept.row.is_some_and(|(status, _)| status.takes_a_use());
                prop_assert_eq!(kept.uses, i64::from(taken));
                let seen = |kept: Kept| kept.row.map_or(0, |(_, seen)| seen);
                prop_assert!(seen(before) <= seen(kept));
            }
        }

        #[test]
        fn a_hold_that_comes_anywhere_in_a_failed_purchase_takes_nothing(
            repeats in 1..6_usize, at in any::<Index>(), admitted in any::<bool>(),
        ) {
            let mut arrivals = vec![Arrival::Outcome(FAILED, 2); repeats];
            arrivals.insert(at.index(repeats + 1), Arrival::Hold);
            let end = arrivals.into_iter().fold(Kept::default(), |kept, arrival| kept.take(arrival, admitted));
            prop_assert_eq!(end.uses, 0);
        }
    }
}
