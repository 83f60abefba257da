//! A paid purchase is given back.

use shared::{
    clock::Instant,
    contracts::{MovedSubscription, UserStatus},
    money::{Amount, OutOfRange},
};

use super::{
    Purchase, PurchaseState,
    saga::{Change, Effect, Facts, ProtocolError, Step},
};
use crate::domain::wallet::{self, OperationAmount};

/// How a paid purchase was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Why, as the administrator put it.
    pub reason: String,
    /// When.
    pub refunded_at: Instant,
    /// What the wallet held after it, in minor units.
    pub balance_after: Amount,
    /// The subscriptions that followed what it gave and have moved up, by their start.
    pub moved: Vec<MovedSubscription>,
}

/// Gives back what was charged: to the wallet, and from there where a deleted user's money goes.
pub(super) fn refund(purchase: &Purchase, reason: &str, facts: &Facts) -> Result<Step, ProtocolError> {
    let is_deleted = facts.user_status == Some(UserStatus::Deleted);
    let (mut effects, mut balance_after) = (Vec::new(), facts.balance);
    let cost = purchase.cost();
    if cost != Amount::ZERO {
        let amount = OperationAmount::parse(cost).map_err(ProtocolError::NotChargeable)?;
        let credited =
            wallet::credit(facts.balance, amount).map_err(|OutOfRange| ProtocolError::WalletOverflows)?;
        effects.push(Effect::GiveBack { amount });
        if is_deleted {
            effects.push(Effect::Forfeit { amount });
        } else {
            balance_after = credited;
        }
    }
    effects.extend([Effect::EndSubscription, Effect::SayRefunded]);
    let refunded = Change {
        version: purchase.version.saturating_add(1),
        state: PurchaseState::Refunded,
        discount: purchase.discount,
        refusal_reasons: Vec::new(),
        settled_at: purchase.settled_at.unwrap_or(facts.moves_at),
        balance_after: purchase.balance_after.unwrap_or(facts.balance),
        refund: Some(Refund {
            reason: reason.to_owned(),
            refunded_at: facts.moves_at,
            balance_after,
            // What follows is known to the transaction that carries it out.
            moved: Vec::new(),
        }),
    };
    Ok(Step {
        next: Some(refunded),
        effects,
    })
}
