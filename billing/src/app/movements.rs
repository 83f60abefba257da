//! Wallets that are locked, and what moves them in one transaction, one movement after another.

use std::collections::{BTreeSet, HashMap};

use sea_orm::DbErr;
use shared::{
    clock::Instant,
    db::Tx,
    ids::{TransferId, UserId},
    money::Amount,
};

use super::books::{Books, Entry};
use crate::{
    domain::{
        ledger::{Cause, Movement},
        wallet::OperationAmount,
    },
    store::{
        self,
        account::{Wallet, WalletChange},
        transfer::NewTransfer,
    },
};

/// Movements in the making, over locked wallets.
pub(super) struct Movements<'a> {
    tx: &'a Tx,
    books: &'a Books,
    opening: HashMap<UserId, Wallet>,
    wallets: HashMap<UserId, Wallet>,
    transfers: Vec<NewTransfer>,
}

/// A movement that was taken in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    /// The transfer.
    pub id: TransferId,
    /// When it takes place.
    pub at: Instant,
}

impl<'a> Movements<'a> {
    /// Locks the wallet of `user`, opening it if it is missing.
    pub(super) async fn of_one(tx: &'a Tx, books: &'a Books, user: UserId) -> Result<Self, DbErr> {
        Self::of_many(tx, books, &BTreeSet::from([user])).await
    }

    /// Locks the wallets of `users`, opening those that are missing.
    pub(super) async fn of_many(
        tx: &'a Tx,
        books: &'a Books,
        users: &BTreeSet<UserId>,
    ) -> Result<Self, DbErr> {
        let wallets = store::account::lock_wallets(tx.conn(), users, tx.now()).await?;
        Ok(Self::over(tx, books, wallets))
    }

    fn over(tx: &'a Tx, books: &'a Books, wallets: HashMap<UserId, Wallet>) -> Self {
        Self {
            tx,
            books,
            opening: wallets.clone(),
            wallets,
            transfers: Vec::new(),
        }
    }

    /// What the wallet of `user` holds at this point; nothing if it is not there.
    pub(super) fn balance(&self, user: UserId) -> Amount {
        self.wallets
            .get(&user)
            .map_or(Amount::ZERO, |wallet| wallet.balance)
    }

    /// Takes in a movement of the wallet of `user`, which leaves `balance_after` in it.
    pub(super) fn post(
        &mut self,
        user: UserId,
        cause: Cause,
        movement: Movement,
        balance_after: Amount,
    ) -> Result<Moved, DbErr> {
        let wallet = self.wallets.get(&user).copied();
        let wallet =
            wallet.ok_or_else(|| DbErr::RecordNotFound(format!("the wallet of {user} is not locked")))?;
        let at = wallet.moves_at(self.tx.now());
        let entry = Entry {
            cause,
            movement,
            user_id: user,
            wallet,
            balance_after,
        };
        let new = self.books.transfer(entry, at)?;
        let id = new.transfer.id();
        self.transfers.push(new);
        self.wallets.insert(user, wallet.moved(balance_after, at));
        Ok(Moved { id, at })
    }

    /// Moves all that is in the wallet of `user`, who is deleted, to where such money goes. Nothing
    /// if it holds nothing.
    pub(super) fn forfeit(&mut self, user: UserId, cause: Cause) -> Result<(), DbErr> {
        if let Some(all) = OperationAmount::all_of(self.balance(user)) {
            self.post(user, cause, Movement::forfeiture(user, all), Amount::ZERO)?;
        }
        Ok(())
    }

    /// Writes everything, one statement a table.
    pub(super) async fn write(self) -> Result<(), DbErr> {
        let changes: Vec<_> = self
            .wallets
            .iter()
            .filter_map(|(user, wallet)| {
                let opening = self.opening.get(user)?;
                (opening != wallet).then_some(WalletChange {
                    from: opening.balance,
                    to: *wallet,
                })
            })
            .collect();
        store::account::change(self.tx.conn(), &changes).await?;
        store::transfer::insert(self.tx.conn(), &self.transfers).await
    }
}
