//! The part of a settlement that gives paid purchases back.

use std::collections::HashMap;

use sea_orm::DbErr;
use shared::{contracts::MovedSubscription, ids::PurchaseId, money::Amount};

use super::Settlement;
use crate::{
    app::books::Entry,
    domain::{
        ledger::{Cause, Movement},
        period::Period,
        purchase::Purchase,
        subscription::{self, Subscription},
        wallet::{OperationAmount, next_instant},
    },
    store,
};

/// What refunds take back.
#[derive(Default)]
pub(super) struct Taken {
    /// What each purchase gave; ended, once that is decided.
    given: HashMap<PurchaseId, Subscription>,
    /// What the user has later of the same tariff, with its period, by start.
    later: HashMap<PurchaseId, Vec<(Subscription, Period)>>,
    /// What those were called when they were bought.
    names: HashMap<PurchaseId, String>,
    /// Which of those each refund has moved.
    moved: HashMap<PurchaseId, Vec<MovedSubscription>>,
    rescheduled: Vec<Subscription>,
}

impl Taken {
    /// What `purchase` gave, as it stands now.
    pub(super) fn from(&self, purchase: PurchaseId) -> Option<&Subscription> {
        self.given.get(&purchase)
    }

    /// A subscription that has moved, as it is told to others.
    fn told(&self, moved: &Subscription) -> MovedSubscription {
        MovedSubscription {
            subscription_id: moved.id,
            tariff_name: self.names.get(&moved.purchase_id).cloned().unwrap_or_default(),
            starts_at: moved.starts_at,
            ends_at: moved.ends_at,
        }
    }

    /// `purchase` with what its refund has moved.
    pub(super) fn complete(&self, mut purchase: Purchase) -> Purchase {
        if let (Some(refund), Some(moved)) = (&mut purchase.refund, self.moved.get(&purchase.id)) {
            refund.moved.clone_from(moved);
        }
        purchase
    }

    /// What starts or ends at another time than before.
    pub(super) fn rescheduled(&self) -> &[Subscription] {
        &self.rescheduled
    }
}

impl Settlement<'_> {
    /// Reads what `purchase` gave and what follows it, so that it can be given back. Its buyer's
    /// wallet is locked, so that nobody extends it meanwhile.
    ///
    /// One purchase in a settlement: a second one's chain would be as it was before the first.
    pub(in crate::app) async fn read_given(&mut self, purchase: &Purchase) -> Result<(), DbErr> {
        let conn = self.tx.conn();
        let given = store::subscription::of_purchases(conn, [purchase.id])
            .await?
            .remove(&purchase.id);
        let Some(given) = given else {
            return Ok(());
        };
        let (user, tariff) = (purchase.user_id, purchase.tariff_id);
        let mut later = store::subscription::starting_from(conn, user, tariff, given.starts_at).await?;
        later.retain(|(other, _)| other.id != given.id);
        let names = later.iter().map(|(other, _)| other.purchase_id);
        self.taken
            .names
            .extend(store::purchase::tariff_names(conn, names).await?);
        self.taken.later.insert(purchase.id, later);
        self.taken.given.insert(purchase.id, given);
        Ok(())
    }

    pub(super) fn give_back(&mut self, purchase: &Purchase, amount: OperationAmount) -> Result<(), DbErr> {
        let wallet = self.wallet(purchase.user_id)?;
        // A sum that fits was made sure of when it was decided.
        let balance_after = Amount(wallet.balance.0.saturating_add(amount.amount().0));
        let at = purchase
            .refund
            .as_ref()
            .map_or(self.tx.now(), |refund| refund.refunded_at);
        let entry = Entry {
            cause: Cause::Refund(purchase.id),
            movement: Movement::refund(purchase.user_id, amount),
            user_id: purchase.user_id,
            wallet,
            balance_after,
        };
        self.transfers.push(self.books.transfer(entry, at)?);
        self.wallets
            .insert(purchase.user_id, wallet.moved(balance_after, at));
        Ok(())
    }

    /// Moves on what was given back just now.
    pub(super) fn forfeit(&mut self, purchase: &Purchase, amount: OperationAmount) -> Result<(), DbErr> {
        let wallet = self.wallet(purchase.user_id)?;
        let came = self.transfers.last().map(|new| new.transfer.id());
        let came = came.ok_or_else(|| DbErr::RecordNotFound("what is to be forfeited".to_owned()))?;
        let balance_after = Amount(wallet.balance.0.saturating_sub(amount.amount().0));
        let at = next_instant(wallet.moved_at, self.tx.now());
        let entry = Entry {
            cause: Cause::Forfeiture(came.0),
            movement: Movement::forfeiture(purchase.user_id, amount),
            user_id: purchase.user_id,
            wallet,
            balance_after,
        };
        self.transfers.push(self.books.transfer(entry, at)?);
        self.wallets
            .insert(purchase.user_id, wallet.moved(balance_after, at));
        Ok(())
    }

    pub(super) fn take_back(&mut self, purchase: &Purchase) {
        let Some(given) = self.taken.given.get(&purchase.id) else {
            return;
        };
        let later = self.taken.later.get(&purchase.id);
        let at = purchase
            .refund
            .as_ref()
            .map_or(self.tx.now(), |refund| refund.refunded_at);
        let changed = subscription::take_back(given, purchase.period, later.map_or(&[], Vec::as_slice), at);
        if let Some((ended, moved)) = changed.split_first() {
            let moved = moved.iter().map(|moved| self.taken.told(moved)).collect();
            self.taken.moved.insert(purchase.id, moved);
            self.taken.given.insert(purchase.id, ended.clone());
        }
        self.taken.rescheduled.extend(changed);
    }
}
