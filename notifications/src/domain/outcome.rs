//! The events that users are told of, and the letter about each.

use chrono::SubsecRound as _;
use shared::{
    clock::Instant,
    contracts::{
        MailRequestedV1, PromocodeGrantedV1, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1, Reason,
        SubscriptionEndingV1, TopUpFailedV1, UserRegisteredV1, WalletCreditedV1, WalletDebitedV1,
        WithdrawalFailedV1,
    },
    ids::UserId,
};

use super::{
    letter::{Letter, LetterData, LetterKind, Reader, Text},
    wording,
};

/// An event that a user is told of.
pub trait Outcome {
    /// Whom it concerns.
    fn user_id(&self) -> UserId;

    /// The letter about it.
    fn letter(&self, reader: Reader) -> Letter;
}

impl Outcome for UserRegisteredV1 {
    fn user_id(&self) -> UserId {
        self.0.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.0.user_id,
            kind: LetterKind::Welcome,
            data: LetterData::Welcome {},
            occurred_at: self.0.registered_at,
        }
        .about(self.0.user_id, wording::welcome(reader.locale))
    }
}

impl Outcome for WalletCreditedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::WalletCredited,
            data: LetterData::Movement {
                transfer_id: self.transfer_id,
                amount: self.amount,
                balance: self.balance_after,
                by_administrator: self.by_administrator,
                reason: self.reason.clone(),
            },
            occurred_at: self.credited_at,
        }
        .about(self.transfer_id, wording::wallet_credited(self, reader))
    }
}

impl Outcome for WalletDebitedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::WalletDebited,
            data: LetterData::Movement {
                transfer_id: self.transfer_id,
                amount: self.amount,
                balance: self.balance_after,
                by_administrator: self.by_administrator,
                reason: self.reason.clone(),
            },
            occurred_at: self.debited_at,
        }
        .about(self.transfer_id, wording::wallet_debited(self, reader))
    }
}

impl Outcome for WithdrawalFailedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
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
        .about(self.withdrawal_id, wording::withdrawal_failed(self, reader))
    }
}

impl Outcome for TopUpFailedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::TopUpFailed,
            data: LetterData::TopUpFailed {
                top_up_id: self.top_up_id,
                amount: self.amount,
                balance: self.balance,
                reason: self.reason.clone(),
            },
            occurred_at: self.failed_at,
        }
        .about(self.top_up_id, wording::top_up_failed(self, reader))
    }
}

impl Outcome for PurchasePaidV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
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
        .about(self.purchase_id, wording::purchase_paid(self, reader))
    }
}

impl Outcome for PurchaseFailedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
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
                // Letters stay when their owner is gone: nothing in them may tell of a person.
                reasons: self
                    .refusal_reasons
                    .iter()
                    .cloned()
                    .map(Reason::without_what_was_typed)
                    .collect(),
            },
            occurred_at: self.failed_at,
        }
        .about(self.purchase_id, wording::purchase_failed(self, reader))
    }
}

/// An administrator blocked an account.
#[derive(Clone, Copy, Debug)]
pub struct AccountBlocked {
    /// Whose.
    pub user_id: UserId,
    /// The user's version that it made; tells one block from the next.
    pub version: i64,
    /// When we heard of it: the event does not say when it was.
    pub heard_at: Instant,
}

/// An administrator lifted a block.
#[derive(Clone, Copy, Debug)]
pub struct AccountUnblocked {
    /// Whose.
    pub user_id: UserId,
    /// The user's version that it made.
    pub version: i64,
    /// When we heard of it.
    pub heard_at: Instant,
}

/// A subscription ends soon.
#[derive(Clone, Debug)]
pub struct SubscriptionEnding {
    /// What billing says.
    pub event: SubscriptionEndingV1,
    /// When we heard of it: the event tells only what is to come.
    pub heard_at: Instant,
}

impl Outcome for PurchaseRefundedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::PurchaseRefunded,
            data: LetterData::PurchaseRefunded {
                purchase_id: self.purchase_id,
                tariff_id: self.tariff_id,
                tariff_name: self.tariff_name.clone(),
                refunded: self.refunded,
                balance: self.balance_after,
                subscription_id: self.subscription_id,
                moved: self.moved.clone(),
                reason: self.reason.clone(),
            },
            occurred_at: self.refunded_at,
        }
        .about(self.purchase_id, wording::purchase_refunded(self, reader))
    }
}

impl Outcome for SubscriptionEnding {
    fn user_id(&self) -> UserId {
        self.event.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        let event = &self.event;
        Draft {
            user_id: event.user_id,
            kind: LetterKind::SubscriptionEnding,
            data: LetterData::SubscriptionEnding {
                subscription_id: event.subscription_id,
                tariff_id: event.tariff_id,
                tariff_name: event.tariff_name.clone(),
                ends_at: event.ends_at,
            },
            occurred_at: self.heard_at,
        }
        .about(event.subscription_id, wording::subscription_ending(event, reader))
    }
}

impl Outcome for PromocodeGrantedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::PromocodeGranted,
            data: LetterData::PromocodeGranted {
                grant_id: self.grant_id,
                campaign_id: self.campaign_id,
                campaign_title: self
                    .campaign_title
                    .as_ref()
                    .map(|title| title.in_language(reader.locale).to_owned()),
                promocode: self.promocode.clone(),
                starts_at: self.starts_at,
                ends_at: self.ends_at,
                timezone: self.timezone.clone(),
            },
            occurred_at: self.granted_at,
        }
        // A grant to a group has one letter for each of its users.
        .about(
            format!("{}:{}", self.grant_id, self.user_id),
            wording::promocode_granted(self, reader),
        )
    }
}

impl Outcome for AccountBlocked {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::AccountBlocked,
            data: LetterData::Account {},
            occurred_at: self.heard_at,
        }
        .about(
            format!("{}:{}", self.user_id, self.version),
            wording::account_blocked(self, reader),
        )
    }
}

impl Outcome for AccountUnblocked {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::AccountUnblocked,
            data: LetterData::Account {},
            occurred_at: self.heard_at,
        }
        .about(
            format!("{}:{}", self.user_id, self.version),
            wording::account_unblocked(self, reader),
        )
    }
}

/// Of a password to be chosen anew; an address to be confirmed is nothing to keep in the inbox.
impl Outcome for MailRequestedV1 {
    fn user_id(&self) -> UserId {
        self.user_id
    }

    fn letter(&self, reader: Reader) -> Letter {
        Draft {
            user_id: self.user_id,
            kind: LetterKind::PasswordReset,
            data: LetterData::PasswordReset {
                requested_at: self.requested_at,
                expires_at: self.expires_at,
            },
            occurred_at: self.requested_at,
        }
        .about(self.mail_request_id, wording::password_reset(self, reader))
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
