//! A letter: what a user is told about one outcome.

use chrono::SubsecRound as _;
use serde::Serialize;
use shared::{
    clock::Instant,
    contracts::{
        FailureReason, Locale, PurchaseFailedV1, PurchasePaidV1, Reason, UserRegisteredV1, WalletCreditedV1,
        WalletDebitedV1, WithdrawalFailedV1,
    },
    ids::{PurchaseId, SubscriptionId, TariffId, TransferId, UserId, WithdrawalId},
    money::Money,
};

use super::wording;

/// Which outcome a letter tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LetterKind {
    /// Somebody registered.
    Welcome,
    /// Money came into the wallet.
    WalletCredited,
    /// Money left the wallet.
    WalletDebited,
    /// A withdrawal was refused.
    WithdrawalFailed,
    /// A purchase was paid.
    PurchasePaid,
    /// A purchase failed.
    PurchaseFailed,
}

impl LetterKind {
    /// Every kind there is.
    pub const ALL: [Self; 6] = [
        Self::Welcome,
        Self::WalletCredited,
        Self::WalletDebited,
        Self::WithdrawalFailed,
        Self::PurchasePaid,
        Self::PurchaseFailed,
    ];

    /// As it stands in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::WalletCredited => "wallet_credited",
            Self::WalletDebited => "wallet_debited",
            Self::WithdrawalFailed => "withdrawal_failed",
            Self::PurchasePaid => "purchase_paid",
            Self::PurchaseFailed => "purchase_failed",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What its letters have in common with those of other kinds that tell another outcome of
    /// the same thing: a purchase is paid or failed, so both are one family.
    pub(crate) const fn family(self) -> &'static str {
        match self {
            Self::PurchasePaid | Self::PurchaseFailed => "purchase_ended",
            other => other.as_str(),
        }
    }
}

/// What a letter tells, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LetterData {
    /// Of a welcome.
    Welcome {},
    /// Of money that came or left.
    Movement {
        /// The movement.
        transfer_id: TransferId,
        /// How much.
        amount: Money,
        /// What the wallet holds after it.
        balance: Money,
    },
    /// Of a withdrawal that was refused.
    WithdrawalFailed {
        /// The request.
        withdrawal_id: WithdrawalId,
        /// How much was asked for.
        amount: Money,
        /// What the wallet holds.
        balance: Money,
        /// Why.
        reason: FailureReason,
    },
    /// Of a paid purchase.
    PurchasePaid {
        /// Which purchase.
        purchase_id: PurchaseId,
        /// What was bought.
        tariff_id: TariffId,
        /// Its name when it was bought.
        tariff_name: String,
        /// The price before the discount.
        list_price: Money,
        /// What the promocode took off.
        discount: Money,
        /// What was charged.
        cost: Money,
        /// What the wallet holds after it.
        balance: Money,
        /// What the purchase gives.
        subscription_id: SubscriptionId,
        /// From when.
        subscription_starts_at: Instant,
        /// To when.
        subscription_ends_at: Instant,
    },
    /// Of a failed purchase.
    PurchaseFailed {
        /// Which purchase.
        purchase_id: PurchaseId,
        /// What was to be bought.
        tariff_id: TariffId,
        /// Its name.
        tariff_name: String,
        /// What would have been charged, as far as it was known.
        cost: Money,
        /// What the wallet holds.
        balance: Money,
        /// Why.
        reason: FailureReason,
        /// Why the promocode was refused; absent for other reasons.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<Reason>,
    },
}

/// A letter, as it goes into the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub user_id: UserId,
    /// Which outcome it tells.
    pub kind: LetterKind,
    /// What it is about; there is no second letter about the same, whatever message brings it.
    pub about: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The same for programs.
    pub data: LetterData,
    /// When the outcome came about, to the microsecond.
    pub occurred_at: Instant,
}

/// Words of a letter in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Plain text, lines parted by `\n`.
    pub body: String,
}

/// An event that a user is told of.
pub trait Outcome {
    /// Whom it concerns.
    fn user_id(&self) -> UserId;

    /// The letter about it.
    fn letter(&self, locale: Locale) -> Letter;
}

impl Outcome for UserRegisteredV1 {
    fn user_id(&self) -> UserId {
        self.0.user_id
    }

    fn letter(&self, locale: Locale) -> Letter {
        Draft {
            user_id: self.0.user_id,
            kind: LetterKind::Welcome,
            data: LetterData::Welcome {},
            occurred_at: self.0.registered_at,
        }
        .about(self.0.user_id, wording::welcome(locale))
    }
}

impl Outcome for WalletCreditedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, locale: Locale) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::WalletCredited,
            data: LetterData::Movement {
                transfer_id: self.transfer_id,
                amount: self.amount,
                balance: self.balance_after,
            },
            occurred_at: self.credited_at,
        }
        .about(self.transfer_id, wording::wallet_credited(self, locale))
    }
}

impl Outcome for WalletDebitedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, locale: Locale) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::WalletDebited,
            data: LetterData::Movement {
                transfer_id: self.transfer_id,
                amount: self.amount,
                balance: self.balance_after,
            },
            occurred_at: self.debited_at,
        }
        .about(self.transfer_id, wording::wallet_debited(self, locale))
    }
}

impl Outcome for WithdrawalFailedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, locale: Locale) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::WithdrawalFailed,
            data: LetterData::WithdrawalFailed {
                withdrawal_id: self.withdrawal_id,
                amount: self.amount,
                balance: self.balance,
                reason: self.reason,
            },
            occurred_at: self.failed_at,
        }
        .about(self.withdrawal_id, wording::withdrawal_failed(self, locale))
    }
}

impl Outcome for PurchasePaidV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, locale: Locale) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::PurchasePaid,
            data: LetterData::PurchasePaid {
                purchase_id: self.purchase_id,
                tariff_id: self.tariff_id,
                tariff_name: self.tariff_name.clone(),
                list_price: self.list_price,
                discount: self.discount,
                cost: self.charged,
                balance: self.balance_after,
                subscription_id: self.subscription_id,
                subscription_starts_at: self.subscription_starts_at,
                subscription_ends_at: self.subscription_ends_at,
            },
            occurred_at: self.paid_at,
        }
        .about(self.purchase_id, wording::purchase_paid(self, locale))
    }
}

impl Outcome for PurchaseFailedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, locale: Locale) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::PurchaseFailed,
            data: LetterData::PurchaseFailed {
                purchase_id: self.purchase_id,
                tariff_id: self.tariff_id,
                tariff_name: self.tariff_name.clone(),
                cost: self.cost,
                balance: self.balance,
                reason: self.reason,
                reasons: self.refusal_reasons.clone(),
            },
            occurred_at: self.failed_at,
        }
        .about(self.purchase_id, wording::purchase_failed(self, locale))
    }
}

/// A letter without its words.
struct Draft {
    user_id: UserId,
    kind: LetterKind,
    data: LetterData,
    occurred_at: Instant,
}

impl Draft {
    fn about(self, subject_id: impl std::fmt::Display, text: Text) -> Letter {
        Letter {
            user_id: self.user_id,
            kind: self.kind,
            about: format!("{}:{subject_id}", self.kind.family()),
            subject: text.subject,
            body: text.body,
            data: self.data,
            // What is kept and what a page's cursor says must be the same instant.
            occurred_at: self.occurred_at.trunc_subsecs(6),
        }
    }
}
