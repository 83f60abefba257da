//! Purchases on their way to a decision: what is read for all of them at once, carried on from
//! one to the next, and written with one statement a table.

mod outcome;
mod refund;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::DbErr;
use shared::{
    clock::Instant,
    contracts::{HoldPromocodeV1, UserStatus},
    db::Tx,
    ids::{PurchaseId, SubscriptionId, TariffId, UserId},
    money::Amount,
    telemetry::metrics::{PURCHASES, word},
    throttle::{self, Count, Throttled},
    users,
    zone::Zone,
};

use outcome::say_outcome;
use refund::Taken;

use super::{
    books::{Books, Entry},
    read_purchase::PurchaseView,
};
use crate::{
    domain::{
        failures::Counted,
        ledger::{Cause, Movement},
        purchase::{Effect, Facts, Purchase, PurchaseState, Started, Step},
        subscription::{self, Last, Subscription},
        wallet::OperationAmount,
    },
    store::{
        self,
        account::{Wallet, WalletChange},
        buyer::Failures,
        purchase::Settled,
        transfer::NewTransfer,
    },
};

/// Decisions in the making, over locked wallets.
pub(super) struct Settlement<'a> {
    tx: &'a Tx,
    books: &'a Books,
    known: HashMap<UserId, users::entity::Model>,
    wallets: HashMap<UserId, Wallet>,
    /// The wallets as they were read.
    opening: HashMap<UserId, Wallet>,
    /// What each buyer has of each tariff that has not ended: its last subscription.
    last: HashMap<(UserId, TariffId), Last>,
    subscriptions: Vec<Subscription>,
    /// Who has a purchase that is paid, as far as that was asked for.
    purchased: HashSet<UserId>,
    /// What wallets hold that are not locked, as far as that was asked for.
    balances: HashMap<UserId, Amount>,
    /// What was counted of the failures of buyers, as far as that was asked for.
    failures: HashMap<UserId, Failures>,
    /// From where new purchases are asked.
    client_buckets: HashMap<PurchaseId, u32>,
    /// What refunds take back.
    taken: Taken,
    transfers: Vec<NewTransfer>,
    new: Vec<Purchase>,
    settled: Vec<Settled>,
    /// Whose outcomes are to be said again, as they stand at the end.
    again: Vec<Purchase>,
}

impl<'a> Settlement<'a> {
    /// Locks the wallets of `users`, then reads what the decisions depend on: after the locks,
    /// so that it is what the transaction before left behind.
    pub(super) async fn open(tx: &'a Tx, books: &'a Books, users: &BTreeSet<UserId>) -> Result<Self, DbErr> {
        let wallets = store::account::lock_wallets(tx.conn(), users, tx.now()).await?;
        let standing = store::buyer::find_standing(tx.conn(), users, tx.now()).await?;
        Ok(Self {
            tx,
            books,
            known: standing.known,
            opening: wallets.clone(),
            wallets,
            last: standing.last,
            subscriptions: Vec::new(),
            purchased: HashSet::new(),
            balances: HashMap::new(),
            failures: HashMap::new(),
            client_buckets: HashMap::new(),
            taken: Taken::default(),
            transfers: Vec::new(),
            new: Vec::new(),
            settled: Vec::new(),
            again: Vec::new(),
        })
    }

    /// Also knows these users, whose wallets are not locked, and which of them have bought before:
    /// for purchases that are not decided here. It was read before the locks, which are held no
    /// longer for it.
    pub(super) fn also_know(&mut self, buyers: store::buyer::Buyers) {
        for (user, known) in buyers.known {
            self.known.entry(user).or_insert(known);
        }
        self.purchased.extend(buyers.purchased);
        self.balances.extend(buyers.balances);
        self.failures.extend(buyers.failures);
    }

    /// For how long a purchase that waits for loyalty has to wait before it begins, where so many
    /// failures are free. Those for lack of money do not count where the wallet holds the whole price.
    pub(super) fn slowed(&self, purchase: &Purchase, free: u32) -> Option<Throttled> {
        let failures = self.failures.get(&purchase.user_id)?;
        let slowed = |count: Option<Count>| count.and_then(|count| count.slowed(free, self.tx.now()));
        let has_enough = self
            .balances
            .get(&purchase.user_id)
            .is_some_and(|balance| *balance >= purchase.list_price);
        let unfunded = slowed(failures.unfunded).filter(|_| !has_enough);
        let seconds = slowed(failures.refused).max(unfunded)?;
        Some(Throttled { seconds })
    }

    /// Also knows which of `users` have bought before, for holds that are for a first purchase only.
    /// Their wallets are locked, so that it stays true: of two such purchases at once one is the first.
    pub(super) async fn look_for_purchases_of(
        &mut self,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<(), DbErr> {
        self.purchased
            .extend(store::purchase::who_has_purchased(self.tx.conn(), users).await?);
        Ok(())
    }

    /// What is true for `user` at this point of the batch. Of a wallet that is not locked nothing
    /// is known, and what is decided over it all the same is refused by [`Settlement::begin`] and
    /// [`Settlement::take`].
    pub(super) fn facts(&self, user: UserId) -> Facts {
        let (now, wallet) = (self.tx.now(), self.wallets.get(&user));
        Facts {
            user_status: self.known.get(&user).map(|known| known.status),
            has_purchased: self.purchased.contains(&user),
            balance: wallet.map_or(Amount::ZERO, |wallet| wallet.balance),
            now,
            moves_at: wallet.map_or(now, |wallet| wallet.moves_at(now)),
        }
    }

    fn wallet(&self, user: UserId) -> Result<Wallet, DbErr> {
        self.wallets
            .get(&user)
            .copied()
            .ok_or_else(|| DbErr::RecordNotFound(format!("the wallet of {user} is not locked")))
    }

    /// Takes in a purchase that has just come into being, and gives what will be seen of it.
    /// `client_bucket` says from where it is asked.
    pub(super) fn begin(
        &mut self,
        started: Started,
        client_bucket: Option<u32>,
    ) -> Result<PurchaseView, DbErr> {
        let Started { purchase, effects } = started;
        let purchase = self.as_kept(purchase);
        self.client_buckets
            .extend(client_bucket.map(|bucket| (purchase.id, bucket)));
        self.carry_out(&purchase, &effects)?;
        self.move_wallet(&purchase)?;
        self.new.push(purchase.clone());
        Ok(PurchaseView {
            subscription: self.given(&purchase).cloned(),
            purchase,
        })
    }

    /// Takes in what a message did to `purchase`, and gives the purchase after it.
    pub(super) fn take(&mut self, purchase: Purchase, step: Step) -> Result<Purchase, DbErr> {
        let read_version = purchase.version;
        let Some(change) = step.next else {
            self.carry_out(&purchase, &step.effects)?;
            return Ok(purchase);
        };
        let purchase = self.as_kept(purchase.after(change));
        self.carry_out(&purchase, &step.effects)?;
        let purchase = self.taken.complete(purchase);
        self.move_wallet(&purchase)?;
        self.settled.push(Settled {
            read_version,
            purchase: purchase.clone(),
        });
        Ok(purchase)
    }

    /// Without what its buyer typed, if they are deleted by now.
    fn as_kept(&self, mut purchase: Purchase) -> Purchase {
        if self.is_deleted(purchase.user_id) {
            purchase.forget_what_was_typed();
        }
        purchase
    }

    /// Whether `user` is known to be.
    pub(super) fn is_deleted(&self, user: UserId) -> bool {
        let known = self.known.get(&user);
        known.is_some_and(|known| known.status == UserStatus::Deleted)
    }

    /// The purchases that have ended here, as they stand now.
    pub(super) fn ended(&self) -> Vec<PurchaseView> {
        let given = |id| {
            let new = self.subscriptions.iter().find(|given| given.purchase_id == id);
            new.or_else(|| self.taken.from(id))
        };
        let purchases = self.settled.iter().map(|settled| &settled.purchase);
        purchases
            .map(|purchase| PurchaseView {
                purchase: purchase.clone(),
                subscription: given(purchase.id).cloned(),
            })
            .collect()
    }

    fn carry_out(&mut self, purchase: &Purchase, effects: &[Effect]) -> Result<(), DbErr> {
        for effect in effects {
            match effect {
                Effect::Hold => self.hold(purchase)?,
                Effect::Charge { amount } => self.charge(purchase, *amount)?,
                Effect::ActivateSubscription => self.subscribe(purchase),
                Effect::GiveBack { amount } => self.give_back(purchase, *amount)?,
                Effect::Forfeit { amount } => self.forfeit(purchase, *amount)?,
                Effect::EndSubscription => self.take_back(purchase),
                Effect::SayPaid | Effect::SayFailed => {
                    say_outcome(self.tx, self.books, purchase, self.given(purchase))?;
                }
                Effect::SayRefunded => {
                    let refunded = self.taken.complete(purchase.clone());
                    say_outcome(self.tx, self.books, &refunded, self.taken.from(purchase.id))?;
                }
                Effect::SayAgain => self.again.push(purchase.clone()),
            }
        }
        Ok(())
    }

    /// What `purchase` gave in this transaction.
    fn given(&self, purchase: &Purchase) -> Option<&Subscription> {
        self.subscriptions
            .last()
            .filter(|given| given.purchase_id == purchase.id)
    }

    /// The next purchase of this wallet in the batch finds what this one left, and is later also
    /// if this one failed, since its letter shows a balance all the same.
    fn move_wallet(&mut self, purchase: &Purchase) -> Result<(), DbErr> {
        if let Some((balance, at)) = purchase.last_moved() {
            let wallet = self.wallet(purchase.user_id)?;
            // What was forfeited after it has moved the wallet later still.
            let at = wallet.moved_at.map_or(at, |last| last.max(at));
            self.wallets.insert(purchase.user_id, wallet.moved(balance, at));
        }
        if purchase.state == PurchaseState::Paid {
            self.purchased.insert(purchase.user_id);
        }
        Ok(())
    }

    fn settled_at(&self, purchase: &Purchase) -> Instant {
        purchase.settled_at.unwrap_or(self.tx.now())
    }

    pub(super) fn hold(&self, purchase: &Purchase) -> Result<(), DbErr> {
        let Some(promocode) = &purchase.promocode else {
            return Ok(());
        };
        let wallet = self.wallets.get(&purchase.user_id);
        let balance = wallet
            .map(|wallet| wallet.balance)
            .or_else(|| self.balances.get(&purchase.user_id).copied());
        let money = |amount: Option<Amount>| amount.map(|amount| self.books.money(amount));
        self.tx.emit(&HoldPromocodeV1 {
            balance: money(balance),
            expected_price: money(purchase.expected_price),
            has_purchased: self.purchased.contains(&purchase.user_id),
            purchase_id: purchase.id,
            user_id: purchase.user_id,
            user_registered_at: self.known.get(&purchase.user_id).map(|known| known.registered_at),
            promocode: promocode.clone(),
            tariff_id: purchase.tariff_id,
            tariff_version: purchase.tariff_version,
            price: self.books.money(purchase.list_price),
            requested_at: purchase.requested_at,
            deadline: purchase.deadline,
            client_bucket: self.client_buckets.get(&purchase.id).copied(),
        })?;
        Ok(())
    }

    fn charge(&mut self, purchase: &Purchase, amount: OperationAmount) -> Result<(), DbErr> {
        let wallet = self.wallet(purchase.user_id)?;
        let balance_after = purchase.balance_after.unwrap_or(wallet.balance);
        let entry = Entry {
            cause: Cause::Purchase(purchase.id),
            movement: Movement::purchase(purchase.user_id, amount),
            user_id: purchase.user_id,
            wallet,
            balance_after,
        };
        let transfer = self.books.transfer(entry, self.settled_at(purchase))?;
        self.transfers.push(transfer);
        Ok(())
    }

    fn subscribe(&mut self, purchase: &Purchase) {
        let (user_id, tariff_id) = (purchase.user_id, purchase.tariff_id);
        let last = self.last.get(&(user_id, tariff_id));
        let bought_at = self.settled_at(purchase);
        let term = subscription::extend(last, bought_at, purchase.period, self.zone_of(user_id));
        let given = Subscription {
            id: SubscriptionId::new(self.tx.now()),
            purchase_id: purchase.id,
            user_id,
            tariff_id,
            starts_at: term.starts_at,
            ends_at: term.ends_at,
            chain: Some(term.chain),
            cancelled_at: None,
        };
        self.last
            .insert((user_id, tariff_id), given.as_last(purchase.period));
        self.subscriptions.push(given);
    }

    /// By whose calendar and clocks the periods of a new chain are counted.
    fn zone_of(&self, user: UserId) -> Zone {
        let own = self.known.get(&user).and_then(users::entity::Model::zone);
        own.unwrap_or(self.books.time_zone)
    }

    /// Writes everything, one statement a table, and says again what is to be said again.
    pub(super) async fn write(self) -> Result<(), DbErr> {
        let conn = self.tx.conn();
        store::purchase::insert(conn, &self.new).await?;
        store::purchase::settle(conn, &self.settled).await?;
        let wallets: Vec<_> = self
            .wallets
            .iter()
            .filter_map(|(user, wallet)| self.change(*user, wallet))
            .collect();
        store::account::change(conn, &wallets).await?;
        store::transfer::insert(conn, &self.transfers).await?;
        store::subscription::insert(conn, &self.subscriptions).await?;
        store::subscription::reschedule(conn, self.taken.rescheduled()).await?;
        throttle::add_many(conn, &self.failures_to_count(), self.tx.now()).await?;
        self.say_again().await?;
        self.count_ended();
        Ok(())
    }

    /// Of purchases that began before. Those that fail as they begin were counted when they did.
    fn failures_to_count(&self) -> BTreeMap<String, i64> {
        let mut added = BTreeMap::new();
        for Settled { purchase, .. } in &self.settled {
            if let Some(counted) = purchase.state.failure().and_then(Counted::of) {
                *added.entry(counted.key(purchase.user_id)).or_default() += 1;
            }
        }
        added
    }

    /// Each purchase ends once, and in one transaction that commits.
    fn count_ended(&self) {
        let settled = self.settled.iter().map(|settled| &settled.purchase);
        let outcomes: Vec<_> = self
            .new
            .iter()
            .chain(settled)
            .filter_map(|purchase| match purchase.state {
                PurchaseState::Pending | PurchaseState::Refunded => None,
                PurchaseState::Paid => Some("paid".to_owned()),
                PurchaseState::Failed(reason) => Some(word(&reason)),
            })
            .collect();
        if outcomes.is_empty() {
            return;
        }
        self.tx.after_commit(async move {
            for outcome in outcomes {
                PURCHASES.counter(&[("outcome", outcome)]).increment(1);
            }
        });
    }

    fn change(&self, user: UserId, wallet: &Wallet) -> Option<WalletChange> {
        let opening = self.opening.get(&user)?;
        (opening != wallet).then_some(WalletChange {
            from: opening.balance,
            to: *wallet,
        })
    }

    /// After everything is written, so that what this batch has settled is found too.
    async fn say_again(&self) -> Result<(), DbErr> {
        if self.again.is_empty() {
            return Ok(());
        }
        let ids = self.again.iter().map(|purchase| purchase.id);
        let given = store::subscription::of_purchases(self.tx.conn(), ids).await?;
        for purchase in &self.again {
            say_outcome(self.tx, self.books, purchase, given.get(&purchase.id))?;
        }
        Ok(())
    }
}
