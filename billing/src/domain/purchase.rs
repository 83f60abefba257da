//! One attempt to buy a tariff: `pending`, then `paid` or `failed`; a paid one can become
//! `refunded`.

#[cfg(test)]
mod model;
mod refund;
mod saga;
#[cfg(test)]
mod saga_tests;

pub use refund::Refund;
pub use saga::{
    Change, Effect, Facts, ProtocolError, PurchaseRequest, SagaMessage, StartError, Started, Step, start,
    step,
};
use shared::{
    clock::Instant,
    contracts::{FailureReason, Reason},
    ids::{PurchaseId, TariffId, UserId},
    money::Amount,
};

use super::period::Period;

/// How far a purchase has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PurchaseState {
    /// Waits for loyalty's answer, until the deadline at most.
    Pending,
    /// Charged, and its subscription runs.
    Paid,
    /// Ended without a charge.
    Failed(FailureReason),
    /// Was paid; the money went back.
    Refunded,
}

/// A stored state that no purchase can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no purchase is {state:?} with the failure {failure:?}")]
pub struct UnknownState {
    /// The state's text.
    pub state: String,
    /// The reason that stood beside it.
    pub failure: Option<FailureReason>,
}

impl PurchaseState {
    /// The state without the reason: `pending`, `paid`, `failed`, `refunded`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Failed(_) => "failed",
            Self::Refunded => "refunded",
        }
    }

    /// Why it failed; none unless it did.
    #[must_use]
    pub const fn failure(self) -> Option<FailureReason> {
        match self {
            Self::Failed(reason) => Some(reason),
            _ => None,
        }
    }

    /// The state that [`PurchaseState::as_str`] and [`PurchaseState::failure`] gave these.
    ///
    /// # Errors
    /// When there is no such state, a failure without its reason or a reason without failure.
    pub fn parse(state: &str, failure: Option<FailureReason>) -> Result<Self, UnknownState> {
        match (state, failure) {
            ("pending", None) => Ok(Self::Pending),
            ("paid", None) => Ok(Self::Paid),
            ("failed", Some(reason)) => Ok(Self::Failed(reason)),
            ("refunded", None) => Ok(Self::Refunded),
            _ => Err(UnknownState {
                state: state.to_owned(),
                failure,
            }),
        }
    }
}

/// One attempt to buy a tariff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// Which.
    pub id: PurchaseId,
    /// Grows by one with every change of state: 1 is pending, 2 paid or failed, 3 refunded,
    /// also where nobody ever saw the pending one. The highest wins wherever it is heard of.
    pub version: i64,
    /// Who buys.
    pub user_id: UserId,
    /// What.
    pub tariff_id: TariffId,
    /// In which version.
    pub tariff_version: i64,
    /// Its name at that version.
    pub tariff_name: String,
    /// Its price at that version, before the discount, in minor units.
    pub list_price: Amount,
    /// What the promocode takes off; zero until loyalty has said it.
    pub discount: Amount,
    /// How long what is bought runs.
    pub period: Period,
    /// The promocode as the customer typed it; empty if it failed and they are deleted.
    pub promocode: Option<String>,
    /// What the buyer expects to be charged, in minor units; none if any price will do.
    pub expected_price: Option<Amount>,
    /// How far it has come.
    pub state: PurchaseState,
    /// The customer's copy of why the promocode was refused; empty unless it was.
    pub refusal_reasons: Vec<Reason>,
    /// The moment that the promocode's start and end are judged at.
    pub requested_at: Instant,
    /// The first instant at which it can no longer be paid.
    pub deadline: Instant,
    /// When it was paid or failed; none while pending.
    pub settled_at: Option<Instant>,
    /// What the wallet held after that, in minor units; none while pending.
    pub balance_after: Option<Amount>,
    /// How it was given back; none unless it was.
    pub refund: Option<Refund>,
}

impl Purchase {
    /// What it costs as far as that is known: the list price less the discount.
    #[must_use]
    pub const fn cost(&self) -> Amount {
        Amount(self.list_price.0.saturating_sub(self.discount.0))
    }

    /// What its last change left in the wallet, and when; none while it is pending.
    #[must_use]
    pub fn last_moved(&self) -> Option<(Amount, Instant)> {
        match &self.refund {
            Some(refund) => Some((refund.balance_after, refund.refunded_at)),
            None => Some((self.balance_after?, self.settled_at?)),
        }
    }

    /// Forgets what the customer typed, who is deleted: it may be anything, unless it was paid.
    pub fn forget_what_was_typed(&mut self) {
        if let (PurchaseState::Failed(_), Some(typed)) = (self.state, &mut self.promocode) {
            typed.clear();
            let reasons = std::mem::take(&mut self.refusal_reasons).into_iter();
            self.refusal_reasons = reasons.map(Reason::without_what_was_typed).collect();
        }
    }

    /// The purchase after `change`.
    #[must_use]
    pub fn after(self, change: Change) -> Self {
        Self {
            version: change.version,
            state: change.state,
            discount: change.discount,
            refusal_reasons: change.refusal_reasons,
            settled_at: Some(change.settled_at),
            balance_after: Some(change.balance_after),
            refund: change.refund,
            ..self
        }
    }
}
