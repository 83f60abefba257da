//! A letter: what a user is told about one outcome.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Instant,
    contracts::{FailureReason, Locale, MovedSubscription, Reason},
    ids::{
        CampaignId, GrantId, PurchaseId, SubscriptionId, TariffId, TopUpId, TransferId, UserId, WithdrawalId,
    },
    money::Money,
    zone::Zone,
};
use utoipa::ToSchema;

/// Which outcome a letter tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetterKind {
    /// Somebody registered.
    Welcome,
    /// Money came into the wallet.
    WalletCredited,
    /// Money left the wallet.
    WalletDebited,
    /// A withdrawal was refused.
    WithdrawalFailed,
    /// The payment provider declined a top-up.
    TopUpFailed,
    /// A purchase was paid.
    PurchasePaid,
    /// A purchase failed.
    PurchaseFailed,
    /// A purchase was given back.
    PurchaseRefunded,
    /// A subscription ends soon.
    SubscriptionEnding,
    /// A promocode was made available.
    PromocodeGranted,
    /// An administrator blocked the account.
    AccountBlocked,
    /// An administrator lifted the block.
    AccountUnblocked,
    /// Somebody asked to choose a new password.
    PasswordReset,
}

impl LetterKind {
    /// Every kind there is.
    pub const ALL: [Self; 13] = [
        Self::Welcome,
        Self::WalletCredited,
        Self::WalletDebited,
        Self::WithdrawalFailed,
        Self::TopUpFailed,
        Self::PurchasePaid,
        Self::PurchaseFailed,
        Self::PurchaseRefunded,
        Self::SubscriptionEnding,
        Self::PromocodeGranted,
        Self::AccountBlocked,
        Self::AccountUnblocked,
        Self::PasswordReset,
    ];

    /// As it stands in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::WalletCredited => "wallet_credited",
            Self::WalletDebited => "wallet_debited",
            Self::WithdrawalFailed => "withdrawal_failed",
            Self::TopUpFailed => "top_up_failed",
            Self::PurchasePaid => "purchase_paid",
            Self::PurchaseFailed => "purchase_failed",
            Self::PurchaseRefunded => "purchase_refunded",
            Self::SubscriptionEnding => "subscription_ending",
            Self::PromocodeGranted => "promocode_granted",
            Self::AccountBlocked => "account_blocked",
            Self::AccountUnblocked => "account_unblocked",
            Self::PasswordReset => "password_reset",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it is mailed whatever its reader prefers, and to an address that nobody has confirmed:
    /// it tells of what somebody else may be doing with the account.
    #[must_use]
    pub const fn is_about_security(self) -> bool {
        matches!(
            self,
            Self::AccountBlocked | Self::AccountUnblocked | Self::PasswordReset
        )
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
        /// Whether an administrator did it.
        by_administrator: bool,
        /// Why, in the administrator's words.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
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
    /// Of a top-up that was declined.
    TopUpFailed {
        /// The request.
        top_up_id: TopUpId,
        /// How much was asked for.
        amount: Money,
        /// What the wallet holds.
        balance: Money,
        /// Why, in the payment provider's words; absent if it gave no reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
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
    /// Of a purchase that was given back.
    PurchaseRefunded {
        /// Which purchase.
        purchase_id: PurchaseId,
        /// What was bought.
        tariff_id: TariffId,
        /// Its name when it was bought.
        tariff_name: String,
        /// What came back.
        refunded: Money,
        /// What the wallet holds after it.
        balance: Money,
        /// The subscription that ended.
        subscription_id: SubscriptionId,
        /// The subscriptions that followed it and have moved up.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        moved: Vec<MovedSubscription>,
        /// Why, in the administrator's words.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Of a subscription that ends soon.
    SubscriptionEnding {
        /// Which.
        subscription_id: SubscriptionId,
        /// To what.
        tariff_id: TariffId,
        /// Its name when it was bought.
        tariff_name: String,
        /// When.
        ends_at: Instant,
    },
    /// Of a promocode that was made available.
    PromocodeGranted {
        /// The grant.
        grant_id: GrantId,
        /// Its campaign.
        campaign_id: CampaignId,
        /// What customers call the campaign, in the letter's language; absent if it has no title.
        #[serde(skip_serializing_if = "Option::is_none")]
        campaign_title: Option<String>,
        /// What to type.
        promocode: String,
        /// From when it can be used; absent if there is no such instant.
        #[serde(skip_serializing_if = "Option::is_none")]
        starts_at: Option<Instant>,
        /// The first instant at which it can't be used any more; absent if there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        ends_at: Option<Instant>,
        /// The campaign's zone (IANA), in which the letter shows start and end; UTC if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        timezone: Option<String>,
    },
    /// Of what was done to the account.
    Account {},
    /// Of a password that somebody asked to choose anew.
    PasswordReset {
        /// When they asked.
        requested_at: Instant,
        /// From when on the link in the mail is good for nothing.
        expires_at: Instant,
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

/// How to write to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// In which language.
    pub locale: Locale,
    /// On whose clocks to tell the time.
    pub zone: Zone,
}

/// Words of a letter in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Plain text, lines parted by `\n`.
    pub body: String,
}
