//! What goes out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::{FailureReason, Reason, TariffStatus},
    ids::{PurchaseId, SubscriptionId, TariffId, TopUpId, TransferId, UserId},
    money::{Amount, Money},
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::{
        books::Books,
        read_purchase::PurchaseView,
        read_wallet::TransferView,
        top_up_wallet::{TopUp, TopUpState},
    },
    domain::{ledger::Cause, purchase::PurchaseState, subscription::Subscription, tariff::Tariff},
};

/// A wallet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
pub(super) struct BalanceBody {
    /// Whose.
    pub user_id: UserId,
    /// What it holds.
    pub balance: Money,
}

impl BalanceBody {
    pub(super) fn new(books: &Books, user_id: UserId, balance: Amount) -> Self {
        Self {
            user_id,
            balance: books.money(balance),
        }
    }
}

/// How far a top-up has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TopUpStatus {
    /// The provider has not decided.
    Pending,
    /// The money is in the wallet.
    Approved,
    /// The provider refused.
    Declined,
}

impl From<TopUpState> for TopUpStatus {
    fn from(state: TopUpState) -> Self {
        match state {
            TopUpState::Pending => Self::Pending,
            TopUpState::Approved => Self::Approved,
            TopUpState::Declined => Self::Declined,
        }
    }
}

/// A top-up. What is not known yet, or never will be, is absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopUp)]
pub(super) struct TopUpBody {
    id: TopUpId,
    /// Whether the payment provider has decided.
    status: TopUpStatus,
    user_id: UserId,
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    decline_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    balance_after: Option<Money>,
    requested_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    settled_at: Option<DateTime<Utc>>,
}

impl TopUpBody {
    pub(super) fn new(books: &Books, top_up: TopUp) -> Self {
        Self {
            id: top_up.id,
            status: top_up.state.into(),
            user_id: top_up.user_id,
            amount: books.money(top_up.amount),
            decline_reason: top_up.decline_reason,
            balance_after: top_up.balance_after.map(|balance| books.money(balance)),
            requested_at: top_up.requested_at,
            settled_at: top_up.settled_at,
        }
    }
}

/// A tariff.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tariff)]
pub(super) struct TariffBody {
    id: TariffId,
    version: i64,
    name: String,
    price: Money,
    /// ISO 8601.
    #[schema(example = "P1M")]
    period: String,
    status: TariffStatus,
}

impl TariffBody {
    pub(super) fn new(books: &Books, tariff: Tariff) -> Self {
        Self {
            id: tariff.id,
            version: tariff.version,
            name: tariff.name,
            price: books.money(tariff.price),
            period: tariff.period.to_string(),
            status: tariff.status,
        }
    }
}

/// What kind of thing moved a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TransferCause {
    /// A payment provider approved a top-up.
    TopUp,
    /// Its owner took money out.
    Withdrawal,
    /// A purchase was charged.
    Purchase,
    /// A purchase was given back.
    Refund,
    /// Its owner was deleted.
    Forfeiture,
    /// An administrator put money in.
    Credit,
    /// An administrator took money out.
    Debit,
}

impl From<Cause> for TransferCause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::TopUp(_) => Self::TopUp,
            Cause::Withdrawal(_) => Self::Withdrawal,
            Cause::Purchase(_) => Self::Purchase,
            Cause::Refund(_) => Self::Refund,
            Cause::Forfeiture(_) => Self::Forfeiture,
            Cause::Credit(_) => Self::Credit,
            Cause::Debit(_) => Self::Debit,
        }
    }
}

impl TransferCause {
    /// As the ledger writes it: the first part of [`Cause::as_key`].
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Withdrawal => "withdrawal",
            Self::Purchase => "purchase",
            Self::Refund => "refund",
            Self::Forfeiture => "forfeiture",
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }
}

/// A movement, as the wallet's owner sees it: above zero it came in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transfer)]
pub(super) struct TransferBody {
    id: TransferId,
    user_id: UserId,
    /// What kind of thing caused it.
    cause: TransferCause,
    /// What caused it: the id of the top-up, the withdrawal, the purchase (also for a refund), the
    /// adjustment; for a forfeiture that of the user, or of the transfer that came after.
    cause_id: Uuid,
    /// Why, as the administrator put it who put money in or took it out; absent for other causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Below zero it went out.
    amount: Money,
    /// What the wallet held after it.
    balance_after: Money,
    at: DateTime<Utc>,
}

impl TransferBody {
    pub(super) fn new(books: &Books, view: TransferView) -> Self {
        let TransferView { transfer, reason } = view;
        let (_, cause_id) = transfer.cause.as_key();
        Self {
            id: transfer.id,
            user_id: transfer.user_id,
            cause: TransferCause::from(transfer.cause),
            cause_id,
            reason,
            amount: books.money(transfer.cause.seen_by_owner(transfer.amount)),
            balance_after: books.money(transfer.balance_after),
            at: transfer.at,
        }
    }
}

/// What a purchase gave.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(super) struct SubscriptionBody {
    id: SubscriptionId,
    purchase_id: PurchaseId,
    user_id: UserId,
    tariff_id: TariffId,
    starts_at: DateTime<Utc>,
    /// The first instant it no longer runs. That is its start for one that was refunded before it
    /// began.
    ends_at: DateTime<Utc>,
    /// When its user cancelled it; it runs until its end all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cancelled_at: Option<DateTime<Utc>>,
}

impl From<Subscription> for SubscriptionBody {
    fn from(subscription: Subscription) -> Self {
        Self {
            id: subscription.id,
            purchase_id: subscription.purchase_id,
            user_id: subscription.user_id,
            tariff_id: subscription.tariff_id,
            starts_at: subscription.starts_at,
            ends_at: subscription.ends_at,
            cancelled_at: subscription.cancelled_at,
        }
    }
}

/// How far a purchase has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PurchaseStatus {
    /// Waits for the answer about its promocode.
    Pending,
    /// Charged.
    Paid,
    /// Ended without a charge; `failure_reason` says why.
    Failed,
    /// Was paid, and was given back.
    Refunded,
}

impl From<PurchaseState> for PurchaseStatus {
    fn from(state: PurchaseState) -> Self {
        match state {
            PurchaseState::Pending => Self::Pending,
            PurchaseState::Paid => Self::Paid,
            PurchaseState::Failed(_) => Self::Failed,
            PurchaseState::Refunded => Self::Refunded,
        }
    }
}

impl PurchaseStatus {
    /// As it is kept: [`PurchaseState::as_str`].
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Refunded => "refunded",
        }
    }
}

/// How a purchase was given back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
pub(super) struct RefundBody {
    /// Why, as the administrator put it.
    reason: String,
    refunded_at: DateTime<Utc>,
    /// What the wallet held after it.
    balance_after: Money,
}

/// A purchase. What is not known yet, or never will be, is absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Purchase)]
pub(super) struct PurchaseBody {
    id: PurchaseId,
    version: i64,
    status: PurchaseStatus,
    user_id: UserId,
    tariff_id: TariffId,
    tariff_version: i64,
    tariff_name: String,
    /// As it was typed; empty if the purchase failed and its buyer's account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    promocode: Option<String>,
    /// What the buyer expects to be charged; another price fails the purchase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected_price: Option<Money>,
    list_price: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    discount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    charged: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    balance_after: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failure_reason: Option<FailureReason>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    refusal_reasons: Vec<Reason>,
    requested_at: DateTime<Utc>,
    deadline: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    settled_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    subscription: Option<SubscriptionBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refund: Option<RefundBody>,
}

impl PurchaseBody {
    pub(super) fn new(books: &Books, view: PurchaseView) -> Self {
        let PurchaseView {
            purchase,
            subscription,
        } = view;
        let cost = purchase.cost();
        let is_paid = matches!(purchase.state, PurchaseState::Paid | PurchaseState::Refunded);
        let is_pending = purchase.state == PurchaseState::Pending;
        Self {
            id: purchase.id,
            version: purchase.version,
            status: purchase.state.into(),
            user_id: purchase.user_id,
            tariff_id: purchase.tariff_id,
            tariff_version: purchase.tariff_version,
            tariff_name: purchase.tariff_name,
            promocode: purchase.promocode,
            expected_price: purchase.expected_price.map(|price| books.money(price)),
            list_price: books.money(purchase.list_price),
            discount: (!is_pending).then(|| books.money(purchase.discount)),
            charged: is_paid.then(|| books.money(cost)),
            balance_after: purchase.balance_after.map(|balance| books.money(balance)),
            failure_reason: purchase.state.failure(),
            refusal_reasons: purchase.refusal_reasons,
            requested_at: purchase.requested_at,
            deadline: purchase.deadline,
            settled_at: purchase.settled_at,
            subscription: subscription.map(SubscriptionBody::from),
            refund: purchase.refund.map(|refund| RefundBody {
                reason: refund.reason,
                refunded_at: refund.refunded_at,
                balance_after: books.money(refund.balance_after),
            }),
        }
    }
}
