//! What a token can allow. Roles are auth's affair; services check permissions only.

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One thing that a token may allow; checked by the service that acts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Permission {
            /// Every permission there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it stands in a token: `campaigns.write`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

impl Permission {
    /// Whether it belongs to a service of the platform, so that no role and no other program has it.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        matches!(self, Self::MailRequestsRead)
    }

    /// Every permission that roles and programs may be given.
    pub fn grantable() -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(|permission| !permission.is_reserved())
    }
}

/// Not derived, since the derive does not see the names that the macro gives the variants.
impl PartialSchema for Permission {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::grantable().map(Self::as_str)))
            .description(Some(
                "One thing that a role may allow; checked by the service that acts.",
            ))
            .into()
    }
}

impl ToSchema for Permission {}

permissions! {
    /// See any user.
    UsersRead = "users.read",
    /// Block and unblock users.
    UsersBlock = "users.block",
    /// Delete users.
    UsersDelete = "users.delete",
    /// Give and take roles.
    RolesWrite = "roles.write",
    /// See campaigns, promocodes, groups, grants and everyone's redemptions.
    CampaignsRead = "campaigns.read",
    /// Create and change campaigns, promocodes, groups and grants.
    CampaignsWrite = "campaigns.write",
    /// See why promocodes were refused, unmasked.
    RefusalsRead = "refusals.read",
    /// Create and change tariffs.
    TariffsWrite = "tariffs.write",
    /// See anyone's purchases, subscriptions and wallet.
    BillingRead = "billing.read",
    /// Give money of paid purchases back.
    PurchasesRefund = "purchases.refund",
    /// Put money into wallets and take it out, with a reason.
    WalletsAdjust = "wallets.adjust",
    /// See anyone's letters.
    LettersRead = "letters.read",
    /// Send letters again.
    LettersResend = "letters.resend",
    /// See what administrators did.
    AuditRead = "audit.read",
    /// See messages that failed.
    ParkedRead = "parked.read",
    /// Replay and drop messages that failed.
    ParkedWrite = "parked.write",
    /// Learn where to write to users: for programs that mail.
    ContactsRead = "contacts.read",
    /// Learn the secrets that are to be mailed, each of which opens an account: for the platform's
    /// own service that mails, and nobody else.
    MailRequestsRead = "mail_requests.read",
}
