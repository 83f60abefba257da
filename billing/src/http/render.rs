//! What goes out.

use serde::Serialize;
use shared::{
    clock::Instant,
    contracts::{FailureReason, Reason, TariffStatus},
    ids::{PurchaseId, SubscriptionId, TariffId, TopUpId, TransferId, UserId},
    money::{Amount, Money},
};
use uuid::Uuid;

use crate::{
    app::{
        books::Books,
        read_purchase::PurchaseView,
        read_wallet::WalletTransfer,
        top_up_wallet::{TopUp, TopUpState},
    },
    domain::{purchase::PurchaseState, subscription::Subscription, tariff::Tariff},
};

/// A wallet.
#[derive(Debug, Serialize)]
pub(super) struct BalanceBody {
    pub user_id: UserId,
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

/// A top-up. What is not known yet, or never will be, is absent.
#[derive(Debug, Serialize)]
pub(super) struct TopUpBody {
    id: TopUpId,
    status: &'static str,
    user_id: UserId,
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance_after: Option<Money>,
    requested_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Instant>,
}

impl TopUpBody {
    pub(super) fn new(books: &Books, top_up: TopUp) -> Self {
        Self {
            id: top_up.id,
            status: match top_up.state {
                TopUpState::Pending => "pending",
                TopUpState::Approved => "approved",
                TopUpState::Declined => "declined",
            },
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
#[derive(Debug, Serialize)]
pub(super) struct TariffBody {
    id: TariffId,
    version: i64,
    name: String,
    price: Money,
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

/// A movement, as the wallet's owner sees it: above zero it came in.
#[derive(Debug, Serialize)]
pub(super) struct TransferBody {
    id: TransferId,
    user_id: UserId,
    cause: &'static str,
    cause_id: Uuid,
    amount: Money,
    balance_after: Money,
    at: Instant,
}

impl TransferBody {
    pub(super) fn new(books: &Books, transfer: WalletTransfer) -> Self {
        let (cause, cause_id) = transfer.cause.as_key();
        Self {
            id: transfer.id,
            user_id: transfer.user_id,
            cause,
            cause_id,
            amount: books.money(transfer.cause.seen_by_owner(transfer.amount)),
            balance_after: books.money(transfer.balance_after),
            at: transfer.at,
        }
    }
}

/// What a purchase gave.
#[derive(Debug, Serialize)]
pub(super) struct SubscriptionBody {
    id: SubscriptionId,
    purchase_id: PurchaseId,
    user_id: UserId,
    tariff_id: TariffId,
    starts_at: Instant,
    ends_at: Instant,
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
        }
    }
}

/// A purchase. What is not known yet, or never will be, is absent.
#[derive(Debug, Serialize)]
pub(super) struct PurchaseBody {
    id: PurchaseId,
    version: i64,
    status: &'static str,
    user_id: UserId,
    tariff_id: TariffId,
    tariff_version: i64,
    tariff_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    promocode: Option<String>,
    list_price: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance_after: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<FailureReason>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refusal_reasons: Vec<Reason>,
    requested_at: Instant,
    deadline: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription: Option<SubscriptionBody>,
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
            status: purchase.state.as_str(),
            user_id: purchase.user_id,
            tariff_id: purchase.tariff_id,
            tariff_version: purchase.tariff_version,
            tariff_name: purchase.tariff_name,
            promocode: purchase.promocode,
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
        }
    }
}
