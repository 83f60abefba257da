//! The purchase saga as a pure state machine: state and message in, new state and effects out.
//!
//! It answers every pair, so that messages may come twice, late, in any order or never. The
//! caller reads the purchase and the [`Facts`] in one transaction, writes the [`Change`] as
//! compare-and-set on the version it read, and carries out the effects in that transaction.

use shared::{
    clock::Instant,
    contracts::{FailureReason, NotHeldReason, Reason, RefusalCode, UserStatus},
    ids::{PurchaseId, UserId},
    money::Amount,
};

use super::{Purchase, PurchaseState, Refund, refund::refund};
use crate::domain::{
    tariff::Tariff,
    wallet::{self, AmountError, InsufficientFunds, OperationAmount},
};

/// What a purchase that exists can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SagaMessage {
    /// Loyalty holds one use, at these prices in minor units of the platform's currency.
    Held {
        /// The price before the discount, as loyalty was told it.
        list_price: Amount,
        /// What is taken off.
        discount: Amount,
        /// What is left to pay.
        final_price: Amount,
        /// Whether only a first purchase may have it; [`Facts::has_purchased`] decides whether
        /// this one still is.
        first_purchase_only: bool,
    },
    /// Loyalty holds nothing, and why.
    Refused {
        /// The customer's copy of the reasons.
        reasons: Vec<Reason>,
    },
    /// Loyalty holds nothing, since the purchase would fail at these prices in minor units of the
    /// platform's currency.
    NotHeld {
        /// The price before the discount, as loyalty was told it.
        list_price: Amount,
        /// What would be taken off.
        discount: Amount,
        /// What would be left to pay.
        final_price: Amount,
        /// Why it would fail.
        reason: NotHeldReason,
    },
    /// Somebody thinks that the deadline is over; [`Facts::now`] decides whether it is.
    DeadlinePassed,
    /// The user no longer wants it.
    CancelRequested,
    /// Loyalty has a use held for long and asks how it ended.
    ReportRequested,
    /// An administrator gives it back.
    RefundRequested {
        /// Why.
        reason: String,
    },
}

/// What is true at the moment of deciding, read in the transaction that acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the buyer may act; none if billing has not heard of them yet, which is no refusal.
    pub user_status: Option<UserStatus>,
    /// Whether the buyer has another purchase that is paid; need be true only where a hold is for
    /// a first purchase only.
    pub has_purchased: bool,
    /// What the buyer's wallet holds, in minor units.
    pub balance: Amount,
    /// The present instant, which the deadline is held against.
    pub now: Instant,
    /// When what is decided takes place in the wallet: [`wallet::next_instant`].
    pub moves_at: Instant,
}

/// What is to be done, in this order, in the transaction that writes the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Command loyalty to hold one use of the promocode.
    Hold,
    /// Move this much from the wallet to revenue. Comes with no zero charge: a purchase for
    /// nothing makes no transfer.
    Charge {
        /// The final price.
        amount: OperationAmount,
    },
    /// Move this much from revenue back to the wallet. Comes with no purchase that cost nothing.
    GiveBack {
        /// What was charged.
        amount: OperationAmount,
    },
    /// Move this much on from the wallet of a deleted user to where such money goes.
    Forfeit {
        /// What was given back.
        amount: OperationAmount,
    },
    /// Make the subscription.
    ActivateSubscription,
    /// End the subscription, and move up what follows it.
    EndSubscription,
    /// Announce that it is paid.
    SayPaid,
    /// Announce that it failed.
    SayFailed,
    /// Announce that it was given back.
    SayRefunded,
    /// Announce the outcome that stands, as it was, under a new message id.
    SayAgain,
}

/// What becomes of a purchase's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// One above the version that was decided on.
    pub version: i64,
    /// The new state, a final one.
    pub state: PurchaseState,
    /// The discount, now that it is known.
    pub discount: Amount,
    /// Why the promocode was refused; empty unless it was.
    pub refusal_reasons: Vec<Reason>,
    /// When it was paid or failed.
    pub settled_at: Instant,
    /// What the wallet held after that, in minor units.
    pub balance_after: Amount,
    /// How it was given back; none unless it was.
    pub refund: Option<Refund>,
}

/// What a message does to a purchase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What becomes of the row; none if nothing changes.
    pub next: Option<Change>,
    /// What is to be done.
    pub effects: Vec<Effect>,
}

/// A message that no honest partner sends. The caller parks it: nothing is charged for it,
/// and the purchase ends by its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// An answer about a promocode for a purchase without one.
    #[error("the purchase has no promocode that could be held or refused")]
    NoPromocode,
    /// Another price was discounted than the one that the purchase was made at.
    #[error("the hold is for a list price of {held:?}, the purchase for {own:?}")]
    ListPriceDiffers {
        /// What loyalty priced.
        held: Amount,
        /// What the purchase was made at.
        own: Amount,
    },
    /// The parts don't add up to the whole, or one is below zero.
    #[error("list price less discount is not the final price, or one of them is below zero")]
    PartsDoNotAddUp,
    /// More than one operation may move.
    #[error("the final price can't be charged: {0}")]
    NotChargeable(AmountError),
    /// The wallet holds so much that a refund does not fit.
    #[error("the wallet can't hold that much")]
    WalletOverflows,
}

/// A purchase that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseRequest {
    /// The id it will have.
    pub id: PurchaseId,
    /// Who buys.
    pub user_id: UserId,
    /// The promocode as the customer typed it.
    pub promocode: Option<String>,
    /// What the buyer expects to be charged; none if any price will do.
    pub expected_price: Option<Amount>,
    /// The first instant at which it can no longer be paid.
    pub deadline: Instant,
}

/// A purchase as it comes into being; without a promocode it is paid or failed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// What to insert.
    pub purchase: Purchase,
    /// What is to be done.
    pub effects: Vec<Effect>,
}

/// Why no purchase comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The tariff is archived.
    #[error("the tariff is not sold any more")]
    TariffNotSold,
    /// The tariff's price is one that no tariff may have.
    #[error("the tariff's price can't be charged")]
    PriceOutOfRange,
}

/// Begins a purchase of `tariff` at [`Facts::now`].
///
/// With a promocode it waits for loyalty, since only the discount tells whether the wallet
/// holds enough. Without one it is decided at once, and so is that of a blocked or deleted user.
///
/// # Errors
/// When the tariff is not sold, or its price can't be charged.
pub fn start(request: PurchaseRequest, tariff: &Tariff, facts: &Facts) -> Result<Started, StartError> {
    if !tariff.is_sold() {
        return Err(StartError::TariffNotSold);
    }
    if tariff.price.is_negative() || tariff.price > wallet::MAX_OPERATION {
        return Err(StartError::PriceOutOfRange);
    }
    let purchase = Purchase {
        id: request.id,
        version: 1,
        user_id: request.user_id,
        tariff_id: tariff.id,
        tariff_version: tariff.version,
        tariff_name: tariff.name.clone(),
        list_price: tariff.price,
        discount: Amount::ZERO,
        period: tariff.period,
        promocode: request.promocode,
        expected_price: request.expected_price,
        state: PurchaseState::Pending,
        refusal_reasons: Vec::new(),
        requested_at: facts.now,
        deadline: request.deadline,
        settled_at: None,
        balance_after: None,
        refund: None,
    };
    if purchase.promocode.is_some() && wallet::may_be_used(facts.user_status) {
        return Ok(Started {
            purchase,
            effects: vec![Effect::Hold],
        });
    }
    let Step { next, effects } =
        charge(&purchase, Amount::ZERO, facts).map_err(|_| StartError::PriceOutOfRange)?;
    Ok(match next {
        Some(change) => Started {
            purchase: purchase.after(change),
            effects,
        },
        None => Started { purchase, effects },
    })
}

/// What `message` does to `purchase`.
///
/// Failed and refunded are final, and paid but for a refund: a repeat, a late answer, a late
/// cancellation, a second refund change nothing and are no error. A pending purchase says nothing when asked for its
/// outcome: its deadline will end it, and that is said.
///
/// # Errors
/// When a pending purchase gets an answer that can't be true, or the wallet can't take a refund;
/// then nothing changes.
pub fn step(purchase: &Purchase, message: &SagaMessage, facts: &Facts) -> Result<Step, ProtocolError> {
    match (purchase.state, message) {
        (
            PurchaseState::Pending,
            SagaMessage::Held {
                list_price,
                discount,
                final_price,
                first_purchase_only,
            },
        ) => {
            let discount = check_hold(purchase, *list_price, *discount, *final_price)?;
            // The deadline is a fact, not a race: who looks first makes no difference.
            if facts.now >= purchase.deadline {
                return Ok(fail(purchase, FailureReason::TimedOut, discount, facts));
            }
            if *first_purchase_only && facts.has_purchased && wallet::may_be_used(facts.user_status) {
                return Ok(refuse(purchase, discount, &[not_first_purchase()], facts));
            }
            charge(purchase, discount, facts)
        }
        (PurchaseState::Pending, SagaMessage::Refused { reasons }) => {
            if purchase.promocode.is_none() {
                return Err(ProtocolError::NoPromocode);
            }
            // Also after the deadline: nothing is charged either way, and reasons say more.
            Ok(refuse(purchase, purchase.discount, reasons, facts))
        }
        (
            PurchaseState::Pending,
            SagaMessage::NotHeld {
                list_price,
                discount,
                final_price,
                reason,
            },
        ) => {
            let discount = check_hold(purchase, *list_price, *discount, *final_price)?;
            // Without a use nothing is charged, also if the wallet holds enough by now.
            let reason = match reason {
                _ if !wallet::may_be_used(facts.user_status) => FailureReason::UserBlocked,
                NotHeldReason::InsufficientFunds => FailureReason::InsufficientFunds,
                NotHeldReason::PriceChanged => FailureReason::PriceChanged,
            };
            Ok(fail(purchase, reason, discount, facts))
        }
        (PurchaseState::Pending, SagaMessage::DeadlinePassed) if facts.now >= purchase.deadline => {
            Ok(fail(purchase, FailureReason::TimedOut, purchase.discount, facts))
        }
        (PurchaseState::Pending, SagaMessage::CancelRequested) => {
            Ok(fail(purchase, FailureReason::Cancelled, purchase.discount, facts))
        }
        (PurchaseState::Paid, SagaMessage::RefundRequested { reason }) => refund(purchase, reason, facts),
        // What is not paid has nothing to give back.
        (
            PurchaseState::Pending,
            SagaMessage::DeadlinePassed | SagaMessage::ReportRequested | SagaMessage::RefundRequested { .. },
        )
        | (PurchaseState::Failed(_) | PurchaseState::Refunded, SagaMessage::RefundRequested { .. }) => {
            Ok(Step::default())
        }
        (
            PurchaseState::Paid | PurchaseState::Failed(_) | PurchaseState::Refunded,
            SagaMessage::ReportRequested,
        ) => Ok(Step {
            next: None,
            effects: vec![Effect::SayAgain],
        }),
        (
            PurchaseState::Paid | PurchaseState::Failed(_) | PurchaseState::Refunded,
            SagaMessage::Held { .. }
            | SagaMessage::Refused { .. }
            | SagaMessage::NotHeld { .. }
            | SagaMessage::DeadlinePassed
            | SagaMessage::CancelRequested,
        ) => Ok(Step::default()),
    }
}

/// The discount of a hold, if it is for this purchase's price and its parts add up.
fn check_hold(
    purchase: &Purchase,
    list_price: Amount,
    discount: Amount,
    final_price: Amount,
) -> Result<Amount, ProtocolError> {
    if purchase.promocode.is_none() {
        return Err(ProtocolError::NoPromocode);
    }
    if list_price != purchase.list_price {
        return Err(ProtocolError::ListPriceDiffers {
            held: list_price,
            own: purchase.list_price,
        });
    }
    let adds_up = discount.plus(final_price) == Ok(list_price);
    if !adds_up || discount.is_negative() || final_price.is_negative() {
        return Err(ProtocolError::PartsDoNotAddUp);
    }
    Ok(discount)
}

/// Charges the list price less `discount`, or fails: also where the buyer expects another price.
fn charge(purchase: &Purchase, discount: Amount, facts: &Facts) -> Result<Step, ProtocolError> {
    if !wallet::may_be_used(facts.user_status) {
        return Ok(fail(purchase, FailureReason::UserBlocked, discount, facts));
    }
    let price = purchase
        .list_price
        .minus(discount)
        .map_err(|_| ProtocolError::PartsDoNotAddUp)?;
    if purchase.expected_price.is_some_and(|expected| expected != price) {
        return Ok(fail(purchase, FailureReason::PriceChanged, discount, facts));
    }
    let paid = settle(purchase, PurchaseState::Paid, discount, facts);
    if price == Amount::ZERO {
        let effects = vec![Effect::ActivateSubscription, Effect::SayPaid];
        return Ok(Step {
            next: Some(paid),
            effects,
        });
    }
    let amount = OperationAmount::parse(price).map_err(ProtocolError::NotChargeable)?;
    match wallet::debit(facts.balance, amount) {
        Ok(balance_after) => {
            let effects = vec![
                Effect::Charge { amount },
                Effect::ActivateSubscription,
                Effect::SayPaid,
            ];
            Ok(Step {
                next: Some(Change {
                    balance_after,
                    ..paid
                }),
                effects,
            })
        }
        Err(InsufficientFunds { .. }) => {
            Ok(fail(purchase, FailureReason::InsufficientFunds, discount, facts))
        }
    }
}

/// Fails the purchase since its promocode is not for it.
fn refuse(purchase: &Purchase, discount: Amount, reasons: &[Reason], facts: &Facts) -> Step {
    let mut step = fail(purchase, FailureReason::PromocodeRefused, discount, facts);
    if let Some(change) = &mut step.next {
        change.refusal_reasons = reasons.to_vec();
    }
    step
}

/// Of two purchases at once, the other one was the first.
fn not_first_purchase() -> Reason {
    Reason {
        code: RefusalCode::NotFirstPurchase,
        detail: "The promocode is for a first purchase only, and another one has been paid.".to_owned(),
        expected: Some(serde_json::json!({"first_purchase": true})),
        found: Some(serde_json::json!({"first_purchase": false})),
    }
}

fn fail(purchase: &Purchase, reason: FailureReason, discount: Amount, facts: &Facts) -> Step {
    let failed = settle(purchase, PurchaseState::Failed(reason), discount, facts);
    Step {
        next: Some(failed),
        effects: vec![Effect::SayFailed],
    }
}

/// The change to the final `state`, with the wallet as it is.
fn settle(purchase: &Purchase, state: PurchaseState, discount: Amount, facts: &Facts) -> Change {
    Change {
        version: purchase.version.saturating_add(1),
        state,
        discount,
        refusal_reasons: Vec::new(),
        settled_at: facts.moves_at,
        balance_after: facts.balance,
        refund: None,
    }
}
