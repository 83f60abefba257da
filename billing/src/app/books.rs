//! The ledger as the use cases write it.

use std::sync::Arc;

use iso_currency::Currency;
use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    ids::{AccountId, TransferId, UserId},
    money::{Amount, Money},
    zone::Zone,
};

use crate::{
    domain::ledger::{AccountKind, Cause, Movement, ProviderName, Transfer},
    store::{
        account::{self, SystemAccounts, Wallet},
        transfer::NewTransfer,
    },
};

/// What is the same for all movements of the platform.
#[derive(Clone, Debug)]
pub struct Books {
    /// The one currency.
    pub currency: Currency,
    /// By whose calendar and clocks periods are counted for users without a zone of their own.
    pub time_zone: Zone,
    accounts: Arc<SystemAccounts>,
}

/// A movement into or out of one wallet.
pub(super) struct Entry {
    pub cause: Cause,
    pub movement: Movement,
    pub user_id: UserId,
    pub wallet: Wallet,
    pub balance_after: Amount,
}

impl Books {
    /// Opens the platform's own accounts, and one for each payment provider.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn open(
        conn: &impl ConnectionTrait,
        currency: Currency,
        providers: impl IntoIterator<Item = ProviderName>,
        now: Instant,
    ) -> Result<Self, DbErr> {
        let mut kinds = vec![
            AccountKind::Revenue,
            AccountKind::Payout,
            AccountKind::Forfeiture,
            AccountKind::Adjustment,
        ];
        kinds.extend(providers.into_iter().map(AccountKind::Provider));
        let accounts = Arc::new(account::open_system(conn, kinds, now).await?);
        Ok(Self {
            currency,
            time_zone: Zone::UTC,
            accounts,
        })
    }

    /// The same, with periods that are counted in `time_zone` and not in UTC.
    #[must_use]
    pub fn in_zone(self, time_zone: Zone) -> Self {
        Self { time_zone, ..self }
    }

    /// Books without accounts, for tests that write nothing.
    #[cfg(test)]
    pub(crate) fn empty(currency: Currency) -> Self {
        Self {
            currency,
            time_zone: Zone::UTC,
            accounts: Arc::default(),
        }
    }

    /// `amount` as it is said to others.
    #[must_use]
    pub const fn money(&self, amount: Amount) -> Money {
        Money::new(amount, self.currency)
    }

    /// The transfer of `entry` at `at`, with the rows of its accounts.
    pub(super) fn transfer(&self, entry: Entry, at: Instant) -> Result<NewTransfer, DbErr> {
        let Entry {
            cause,
            movement,
            user_id,
            wallet,
            balance_after,
        } = entry;
        let row_of = |kind: &AccountKind| self.row_of(kind, user_id, wallet.account_id);
        let (source_id, destination_id) = (row_of(&movement.source)?, row_of(&movement.destination)?);
        let transfer = Transfer::new(TransferId::new(at), cause, movement, at)
            .map_err(|error| DbErr::Custom(error.to_string()))?;
        Ok(NewTransfer {
            transfer,
            source_id,
            destination_id,
            user_id,
            balance_after,
        })
    }

    fn row_of(&self, kind: &AccountKind, user_id: UserId, wallet: AccountId) -> Result<AccountId, DbErr> {
        match kind {
            AccountKind::Wallet(owner) if *owner == user_id => Ok(wallet),
            kind => self
                .accounts
                .get(kind)
                .ok_or_else(|| DbErr::RecordNotFound(format!("the account {kind} is not open"))),
        }
    }
}
