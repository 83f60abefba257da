//! The double-entry ledger: accounts, and transfers that can't be built unbalanced.

mod account;

pub use account::{AccountKind, InvalidProviderName, ProviderName, UnknownAccount};
use shared::{
    clock::Instant,
    ids::{AdjustmentId, PurchaseId, TopUpId, TransferId, UserId, WithdrawalId},
    money::Amount,
};
use uuid::Uuid;

use super::wallet::OperationAmount;

/// What caused a transfer. One cause makes at most one transfer: the store puts a unique
/// constraint on [`Cause::as_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A payment provider approved a top-up.
    TopUp(TopUpId),
    /// A user took money out.
    Withdrawal(WithdrawalId),
    /// A purchase was charged.
    Purchase(PurchaseId),
    /// A paid purchase was refunded.
    Refund(PurchaseId),
    /// The wallet's owner was deleted: what was left then, under the owner's id, or what came
    /// later, under the id of the transfer that brought it.
    Forfeiture(Uuid),
    /// An administrator put money in.
    Credit(AdjustmentId),
    /// An administrator took money out.
    Debit(AdjustmentId),
}

impl Cause {
    /// The kind and the id, together unique in the ledger.
    #[must_use]
    pub const fn as_key(self) -> (&'static str, Uuid) {
        match self {
            Self::TopUp(id) => ("top_up", id.0),
            Self::Withdrawal(id) => ("withdrawal", id.0),
            Self::Purchase(id) => ("purchase", id.0),
            Self::Refund(id) => ("refund", id.0),
            Self::Forfeiture(id) => ("forfeiture", id),
            Self::Credit(id) => ("credit", id.0),
            Self::Debit(id) => ("debit", id.0),
        }
    }

    /// `amount` as the wallet's owner sees it: above zero it came in, below it went out.
    #[must_use]
    pub const fn seen_by_owner(self, amount: Amount) -> Amount {
        match self {
            Self::TopUp(_) | Self::Refund(_) | Self::Credit(_) => amount,
            Self::Withdrawal(_) | Self::Purchase(_) | Self::Forfeiture(_) | Self::Debit(_) => {
                Amount(amount.0.saturating_neg())
            }
        }
    }

    /// The cause that [`Cause::as_key`] gave this key; none for a kind nobody knows.
    #[must_use]
    pub fn parse(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            "top_up" => Some(Self::TopUp(TopUpId(id))),
            "withdrawal" => Some(Self::Withdrawal(WithdrawalId(id))),
            "purchase" => Some(Self::Purchase(PurchaseId(id))),
            "refund" => Some(Self::Refund(PurchaseId(id))),
            "forfeiture" => Some(Self::Forfeiture(id)),
            "credit" => Some(Self::Credit(AdjustmentId(id))),
            "debit" => Some(Self::Debit(AdjustmentId(id))),
            _ => None,
        }
    }
}

/// From where to where how much goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Where it leaves.
    pub source: AccountKind,
    /// Where it arrives.
    pub destination: AccountKind,
    /// How much. Above zero by its type: a zero charge makes no transfer at all.
    pub amount: OperationAmount,
}

impl Movement {
    /// Money comes in from a payment provider.
    #[must_use]
    pub const fn top_up(user_id: UserId, provider: ProviderName, amount: OperationAmount) -> Self {
        Self {
            source: AccountKind::Provider(provider),
            destination: AccountKind::Wallet(user_id),
            amount,
        }
    }

    /// A user takes money out.
    #[must_use]
    pub const fn withdrawal(user_id: UserId, amount: OperationAmount) -> Self {
        Self {
            source: AccountKind::Wallet(user_id),
            destination: AccountKind::Payout,
            amount,
        }
    }

    /// A purchase is charged.
    #[must_use]
    pub const fn purchase(user_id: UserId, amount: OperationAmount) -> Self {
        Self {
            source: AccountKind::Wallet(user_id),
            destination: AccountKind::Revenue,
            amount,
        }
    }

    /// A purchase is given back.
    #[must_use]
    pub const fn refund(user_id: UserId, amount: OperationAmount) -> Self {
        Self {
            source: AccountKind::Revenue,
            destination: AccountKind::Wallet(user_id),
            amount,
        }
    }

    /// What a deleted user leaves goes where such money is kept.
    #[must_use]
    pub const fn forfeiture(user_id: UserId, amount: OperationAmount) -> Self {
        Self {
            source: AccountKind::Wallet(user_id),
            destination: AccountKind::Forfeiture,
            amount,
        }
    }

    /// An administrator puts money into a wallet.
    #[must_use]
    pub const fn credit(user_id: UserId, amount: OperationAmount) -> Self {
        Self {
            source: AccountKind::Adjustment,
            destination: AccountKind::Wallet(user_id),
            amount,
        }
    }

    /// An administrator takes money out of a wallet.
    #[must_use]
    pub const fn debit(user_id: UserId, amount: OperationAmount) -> Self {
        Self {
            source: AccountKind::Wallet(user_id),
            destination: AccountKind::Adjustment,
            amount,
        }
    }
}

/// One side of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Which account.
    pub account: AccountKind,
    /// What it gains, in minor units; negative where it loses.
    pub amount: Amount,
}

/// A balanced, immutable movement between two accounts.
///
/// Its fields are private: there is no way to build one whose postings don't add up to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    id: TransferId,
    cause: Cause,
    movement: Movement,
    at: Instant,
}

/// Why there is no such transfer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// From an account to itself.
    #[error("a transfer needs two different accounts, both are {0}")]
    SameAccount(AccountKind),
}

impl Transfer {
    /// A transfer that happens at `at`, because of `cause`.
    ///
    /// # Errors
    /// When source and destination are the same account.
    pub fn new(id: TransferId, cause: Cause, movement: Movement, at: Instant) -> Result<Self, LedgerError> {
        if movement.source == movement.destination {
            return Err(LedgerError::SameAccount(movement.source));
        }
        Ok(Self {
            id,
            cause,
            movement,
            at,
        })
    }

    /// Which transfer.
    #[must_use]
    pub const fn id(&self) -> TransferId {
        self.id
    }

    /// What caused it.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Where it leaves.
    #[must_use]
    pub const fn source(&self) -> &AccountKind {
        &self.movement.source
    }

    /// Where it arrives.
    #[must_use]
    pub const fn destination(&self) -> &AccountKind {
        &self.movement.destination
    }

    /// How much, above zero.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.movement.amount.amount()
    }

    /// When.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// Both sides: what the source loses and what the destination gains. They add up to zero.
    #[must_use]
    pub fn postings(&self) -> [Posting; 2] {
        let amount = self.amount();
        [
            // An operation's amount is positive, so its negation always fits.
            Posting {
                account: self.movement.source.clone(),
                amount: Amount(-amount.0),
            },
            Posting {
                account: self.movement.destination.clone(),
                amount,
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::wallet::MAX_OPERATION;

    fn user(n: u128) -> UserId {
        UserId(Uuid::from_u128(n))
    }

    fn sum(amount: i64) -> OperationAmount {
        OperationAmount::parse(Amount(amount)).unwrap()
    }

    fn transfer(n: u128, movement: Movement) -> Result<Transfer, LedgerError> {
        let cause = Cause::Purchase(PurchaseId(Uuid::from_u128(n)));
        Transfer::new(
            TransferId(Uuid::from_u128(n)),
            cause,
            movement,
            Instant::UNIX_EPOCH,
        )
    }

    #[test]
    fn an_account_transfers_nothing_to_itself() {
        let wallet = AccountKind::Wallet(user(1));
        let movement = Movement {
            source: wallet.clone(),
            destination: wallet.clone(),
            amount: sum(5),
        };
        assert_eq!(transfer(1, movement), Err(LedgerError::SameAccount(wallet)));
    }

    #[test]
    fn a_purchase_takes_from_the_wallet_and_a_refund_gives_back() {
        let charge = transfer(1, Movement::purchase(user(1), sum(900))).unwrap();
        let wallet = AccountKind::Wallet(user(1));
        let paid = [
            Posting {
                account: wallet.clone(),
                amount: Amount(-900),
            },
            Posting {
                account: AccountKind::Revenue,
                amount: Amount(900),
            },
        ];
        assert_eq!(charge.postings(), paid);
        let back = transfer(2, Movement::refund(user(1), sum(900))).unwrap();
        assert_eq!(
            back.postings()[1],
            Posting {
                account: wallet,
                amount: Amount(900)
            }
        );
    }

    #[test]
    fn a_purchase_and_its_refund_are_two_causes() {
        let id = Uuid::from_u128(3);
        let causes = [
            Cause::TopUp(TopUpId(id)),
            Cause::Withdrawal(WithdrawalId(id)),
            Cause::Purchase(PurchaseId(id)),
            Cause::Refund(PurchaseId(id)),
            Cause::Forfeiture(id),
            Cause::Credit(AdjustmentId(id)),
            Cause::Debit(AdjustmentId(id)),
        ];
        let keys: std::collections::BTreeSet<_> = causes.iter().map(|cause| cause.as_key()).collect();
        assert_eq!(keys.len(), causes.len());
        for cause in causes {
            let (kind, id) = cause.as_key();
            assert_eq!(Cause::parse(kind, id), Some(cause));
        }
        assert_eq!(Cause::parse("gift", id), None);
    }

    #[test]
    fn the_owner_sees_what_the_wallet_gains_or_loses() {
        let (id, amount) = (Uuid::from_u128(3), sum(5));
        for (cause, movement) in [
            (
                Cause::TopUp(TopUpId(id)),
                Movement::top_up(user(1), "sandbox".parse().unwrap(), amount),
            ),
            (
                Cause::Withdrawal(WithdrawalId(id)),
                Movement::withdrawal(user(1), amount),
            ),
            (
                Cause::Purchase(PurchaseId(id)),
                Movement::purchase(user(1), amount),
            ),
            (Cause::Refund(PurchaseId(id)), Movement::refund(user(1), amount)),
            (Cause::Forfeiture(id), Movement::forfeiture(user(1), amount)),
            (Cause::Credit(AdjustmentId(id)), Movement::credit(user(1), amount)),
            (Cause::Debit(AdjustmentId(id)), Movement::debit(user(1), amount)),
        ] {
            let postings = transfer(1, movement).unwrap().postings();
            let of_wallet = postings
                .iter()
                .find(|posting| posting.account == AccountKind::Wallet(user(1)));
            assert_eq!(
                of_wallet.map(|posting| posting.amount),
                Some(cause.seen_by_owner(amount.amount()))
            );
        }
    }

    fn movements() -> impl Strategy<Value = Movement> {
        (0..7_u8, 0..3_u128, 1..=MAX_OPERATION.0).prop_map(|(kind, n, amount)| {
            let amount = sum(amount);
            match kind {
                0 => Movement::top_up(user(n), "sandbox".parse().unwrap(), amount),
                1 => Movement::withdrawal(user(n), amount),
                2 => Movement::purchase(user(n), amount),
                3 => Movement::forfeiture(user(n), amount),
                4 => Movement::credit(user(n), amount),
                5 => Movement::debit(user(n), amount),
                _ => Movement::refund(user(n), amount),
            }
        })
    }

    proptest! {
        #[test]
        fn whatever_moves_no_kopeck_is_lost_or_made(moved in prop::collection::vec(movements(), 0..100)) {
            let mut balances = BTreeMap::<AccountKind, i64>::new();
            for (n, movement) in (0..).zip(moved) {
                for posting in transfer(n, movement).unwrap().postings() {
                    *balances.entry(posting.account).or_default() += posting.amount.0;
                }
                prop_assert_eq!(balances.values().sum::<i64>(), 0);
            }
        }
    }
}
