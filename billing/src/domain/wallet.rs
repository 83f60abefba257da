//! A user's wallet: a balance that never goes below zero.

use chrono::Duration;
use shared::{
    clock::Instant,
    contracts::UserStatus,
    money::{Amount, OutOfRange},
};

/// The most that one operation may move, in minor units.
///
/// So far below 64 bits that adding up millions of operations stays in range.
pub const MAX_OPERATION: Amount = Amount(1_000_000_000_000);

/// How much one operation moves: above zero, at most [`MAX_OPERATION`], in minor units.
///
/// A type of its own, so that a negative debit can't be a credit in disguise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationAmount(Amount);

/// An amount that no operation may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Zero or less.
    #[error("the amount must be above zero")]
    NotPositive,
    /// More than [`MAX_OPERATION`].
    #[error("the amount must be at most {} minor units", MAX_OPERATION.0)]
    TooLarge,
}

/// The wallet holds less than is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wallet holds {} minor units, {} are needed", balance.0, needed.0)]
pub struct InsufficientFunds {
    /// What the wallet holds.
    pub balance: Amount,
    /// What the operation needs.
    pub needed: Amount,
}

impl OperationAmount {
    /// Takes `amount` if one operation may move it.
    ///
    /// # Errors
    /// When it is not above zero, or above [`MAX_OPERATION`].
    pub fn parse(amount: Amount) -> Result<Self, AmountError> {
        if !amount.is_positive() {
            return Err(AmountError::NotPositive);
        }
        if amount > MAX_OPERATION {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(amount))
    }

    /// All that a wallet with `balance` holds, also if it is more than one operation may move; none
    /// if it holds nothing.
    #[must_use]
    pub fn all_of(balance: Amount) -> Option<Self> {
        balance.is_positive().then_some(Self(balance))
    }

    /// The amount, above zero.
    #[must_use]
    pub const fn amount(self) -> Amount {
        self.0
    }
}

/// What a wallet with `balance` holds after `amount` left it.
///
/// # Errors
/// When it holds less than `amount`.
pub fn debit(balance: Amount, amount: OperationAmount) -> Result<Amount, InsufficientFunds> {
    let short = InsufficientFunds {
        balance,
        needed: amount.0,
    };
    let left = balance.minus(amount.0).map_err(|OutOfRange| short)?;
    if left.is_negative() { Err(short) } else { Ok(left) }
}

/// What a wallet with `balance` holds after `amount` came in.
///
/// # Errors
/// When the sum does not fit.
pub fn credit(balance: Amount, amount: OperationAmount) -> Result<Amount, OutOfRange> {
    balance.plus(amount.0)
}

/// Which way an administrator moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the wallet.
    Credit,
    /// Out of it.
    Debit,
}

/// Whether a user of this status may put money in, take it out or buy. Not having heard of
/// somebody yet (none) is no refusal.
#[must_use]
pub const fn may_be_used(status: Option<UserStatus>) -> bool {
    match status {
        None | Some(UserStatus::Active) => true,
        Some(UserStatus::Blocked | UserStatus::Deleted) => false,
    }
}

/// When the next movement of a wallet takes place that was last moved at `last`: `now`, but
/// always after `last`.
///
/// `now` was read before the wallet was locked, perhaps by a machine whose clock is behind, so
/// by itself it would not tell which of two movements found what the other left.
#[must_use]
pub fn next_instant(last: Option<Instant>, now: Instant) -> Instant {
    let after = |last: Instant| last.checked_add_signed(Duration::microseconds(1));
    last.and_then(after).map_or(now, |earliest| earliest.max(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(amount: i64) -> OperationAmount {
        OperationAmount::parse(Amount(amount)).unwrap()
    }

    #[test]
    fn an_operation_moves_more_than_nothing_and_no_more_than_the_maximum() {
        assert_eq!(OperationAmount::parse(Amount(0)), Err(AmountError::NotPositive));
        assert_eq!(
            OperationAmount::parse(Amount(i64::MIN)),
            Err(AmountError::NotPositive)
        );
        assert_eq!(
            OperationAmount::parse(Amount(MAX_OPERATION.0 + 1)),
            Err(AmountError::TooLarge)
        );
        assert_eq!(sum(1).amount(), Amount(1));
        assert_eq!(sum(MAX_OPERATION.0).amount(), MAX_OPERATION);
    }

    #[test]
    fn a_wallet_can_be_emptied_but_not_overdrawn() {
        assert_eq!(debit(Amount(100), sum(100)), Ok(Amount(0)));
        assert_eq!(
            debit(Amount(100), sum(101)),
            Err(InsufficientFunds {
                balance: Amount(100),
                needed: Amount(101)
            })
        );
        assert!(debit(Amount(i64::MIN), sum(1)).is_err());
    }

    #[test]
    fn all_that_a_wallet_holds_may_be_more_than_one_operation_moves() {
        let balance = Amount(MAX_OPERATION.0 + 1);
        assert_eq!(
            OperationAmount::all_of(balance).map(OperationAmount::amount),
            Some(balance)
        );
        assert_eq!(OperationAmount::all_of(Amount::ZERO), None);
    }

    #[test]
    fn movements_of_a_wallet_follow_one_another_whatever_the_clock_says() {
        let now = Instant::UNIX_EPOCH;
        let microsecond = Duration::microseconds(1);
        assert_eq!(next_instant(None, now), now);
        assert_eq!(next_instant(Some(now - microsecond), now), now);
        assert_eq!(next_instant(Some(now), now), now + microsecond);
        let ahead = now + Duration::seconds(5);
        assert_eq!(next_instant(Some(ahead), now), ahead + microsecond);
    }

    #[test]
    fn only_who_is_blocked_or_deleted_may_not_use_a_wallet() {
        for status in [None, Some(UserStatus::Active)] {
            assert!(may_be_used(status));
        }
        for status in [UserStatus::Blocked, UserStatus::Deleted] {
            assert!(!may_be_used(Some(status)));
        }
    }

    #[test]
    fn a_credit_that_does_not_fit_is_an_error() {
        assert_eq!(credit(Amount(i64::MAX), sum(1)), Err(OutOfRange));
    }

    proptest! {
        #[test]
        fn no_history_of_operations_overdraws_a_wallet(
            operations in prop::collection::vec((any::<bool>(), 1..1_000_i64), 0..200),
        ) {
            let mut balance = Amount::ZERO;
            let mut expected = 0;
            for (incoming, amount) in operations {
                if incoming {
                    balance = credit(balance, sum(amount)).unwrap();
                    expected += amount;
                } else if let Ok(left) = debit(balance, sum(amount)) {
                    balance = left;
                    expected -= amount;
                } else {
                    prop_assert!(balance.0 < amount);
                }
                prop_assert!(!balance.is_negative());
                prop_assert_eq!(balance.0, expected);
            }
        }
    }
}
