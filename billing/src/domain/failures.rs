//! Failures that are counted for each user, so that a loop of them makes neither rows nor letters
//! without end.

use shared::{contracts::FailureReason, ids::UserId, throttle::hash_of};

/// What is counted, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Purchases that failed for lack of money.
    UnfundedPurchase,
    /// Purchases that failed for their promocode or their price, or were cancelled.
    RefusedPurchase,
    /// Withdrawals that failed for lack of money.
    FailedWithdrawal,
    /// Top-ups that are not approved: declined, or undecided so far.
    UnpaidTopUp,
}

impl Counted {
    /// As what a purchase that fails so is counted; none where its buyer can't help it.
    #[must_use]
    pub const fn of(reason: FailureReason) -> Option<Self> {
        match reason {
            FailureReason::InsufficientFunds => Some(Self::UnfundedPurchase),
            FailureReason::PromocodeRefused | FailureReason::PriceChanged | FailureReason::Cancelled => {
                Some(Self::RefusedPurchase)
            }
            FailureReason::UserBlocked | FailureReason::TimedOut => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::UnfundedPurchase => "unfunded purchase",
            Self::RefusedPurchase => "refused purchase",
            Self::FailedWithdrawal => "failed withdrawal",
            Self::UnpaidTopUp => "unpaid top-up",
        }
    }

    /// The key of the count for `user`.
    #[must_use]
    pub fn key(self, user: UserId) -> String {
        hash_of(&[self.as_str(), &user.to_string()])
    }
}

/// How many failures of a kind a user may have within a quarter of an hour before each next one has
/// to wait, for longer each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeFailures {
    /// Purchases that failed for lack of money, and as many for other reasons.
    pub purchases: u32,
    /// Withdrawals.
    pub withdrawals: u32,
    /// Top-ups.
    pub top_ups: u32,
}
