//! Identifiers: one type a thing, so that a wallet's id can't be passed for a purchase's.
//!
//! All are UUIDv7: they sort by creation, which keeps index pages warm, and say nothing
//! about how many there are.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, DeriveValueType, TryFromU64};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{ContextV7, Timestamp, Uuid};

/// Keeps ids that one process makes in the same millisecond in order.
static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A new UUIDv7 for the instant `now`.
#[must_use]
pub fn new_uuid(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(
        &CONTEXT,
        seconds,
        now.timestamp_subsec_nanos(),
    ))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, DeriveValueType, ToSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id for something that comes into being at `now`.
            #[must_use]
            pub fn new(now: DateTime<Utc>) -> Self {
                Self(new_uuid(now))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )*};
}

ids! {
    /// A person with an account.
    UserId
    /// One login of one client; every token of that login carries it.
    SessionId
    /// One message on the bus; a repeat of the same message keeps it.
    MessageId
    /// The terms under which promocodes are given.
    CampaignId
    /// A string that a customer types.
    PromocodeId
    /// A recorded "no" with its reasons.
    RefusalId
    /// What is sold: a price for a period.
    TariffId
    /// One attempt to buy a tariff.
    PurchaseId
    /// What a paid purchase gives, from when to when.
    SubscriptionId
    /// An account in the ledger.
    AccountId
    /// A balanced, immutable movement in the ledger.
    TransferId
    /// A request to put money into a wallet through a payment provider.
    TopUpId
    /// A request to take money out of a wallet.
    WithdrawalId
    /// Money that an administrator put into a wallet or took out.
    AdjustmentId
    /// A message to a user.
    LetterId
    /// A set of users.
    GroupId
    /// A promocode made available to a user or a group.
    GrantId
    /// A letter with a secret in it, which only auth can write: a confirmation of an address, a
    /// reset of a password.
    MailRequestId
    /// One sending of a letter, or of a mail with a secret link.
    MailId
    /// Something that an administrator did.
    AuditId
}
impl SessionId {
    /// What stands for the login of a program, which has none: all tokens of the program carry it, and the
    /// program's end is announced as the end of this login.
    #[must_use]
    pub fn of_program(program: UserId) -> Self {
        Self(program.0)
    }
}
