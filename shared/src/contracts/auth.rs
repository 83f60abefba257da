//! What auth says. Each event carries the user's whole public state, and no personal data.

use chrono::{DateTime, Utc};
use sea_orm::{DeriveActiveEnum, EnumIter, sea_query::StringLen};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::envelope::message;
use crate::{
    ids::{MailRequestId, SessionId, UserId},
    zone::{Zone, if_known},
};

/// Whether a user may act.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May do what their roles allow.
    #[sea_orm(string_value = "active")]
    Active,
    /// May do nothing, whatever token is still valid.
    #[sea_orm(string_value = "blocked")]
    Blocked,
    /// Gone; only the id remains.
    #[sea_orm(string_value = "deleted")]
    Deleted,
}

/// The language a user is written to in.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    EnumIter,
    DeriveActiveEnum,
    ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
#[serde(rename_all = "snake_case")]
pub enum Locale {
    /// English.
    #[default]
    #[sea_orm(string_value = "en")]
    En,
    /// Russian.
    #[sea_orm(string_value = "ru")]
    Ru,
}

/// A user as the other services know them. Take it only if `version` is newer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserState {
    /// Who.
    pub user_id: UserId,
    /// Grows by one with every change of the user.
    pub version: i64,
    /// Whether they may act.
    pub status: UserStatus,
    /// In which language to write to them.
    pub locale: Locale,
    /// Their time zone, by its name in the IANA database; absent if they have chosen none, so that the
    /// platform's counts.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "if_known"
    )]
    #[schema(value_type = Option<String>, nullable = false, example = "Europe/Moscow")]
    pub time_zone: Option<Zone>,
    /// Since when they have an account.
    pub registered_at: DateTime<Utc>,
}

macro_rules! user_events {
    ($($(#[$doc:meta])* $name:ident, $type:literal, $key:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub UserState);
        message!($name, $type, AuthEvents, $key, |m| m.0.user_id.0, m.0.version);
    )*};
}

user_events! {
    /// Somebody signed up.
    UserRegisteredV1, "kopeck.auth.user_registered.v1", "user.registered";
    /// A public attribute (the language, the time zone) changed.
    UserUpdatedV1, "kopeck.auth.user_updated.v1", "user.updated";
    /// An administrator blocked the user.
    UserBlockedV1, "kopeck.auth.user_blocked.v1", "user.blocked";
    /// An administrator lifted the block.
    UserUnblockedV1, "kopeck.auth.user_unblocked.v1", "user.unblocked";
    /// The account was deleted.
    UserDeletedV1, "kopeck.auth.user_deleted.v1", "user.deleted";
}

/// A login has ended: its tokens are good for nothing more, in any service. Of a program that was disabled,
/// which has no logins, both ids are the program's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionEndedV1 {
    /// Which login.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}
message!(
    SessionEndedV1,
    "kopeck.auth.session_ended.v1",
    AuthEvents,
    "session.ended",
    |m| m.session_id.0,
    0
);

/// Somebody is to get a mail with a secret link. Neither the address nor the secret is in it: who
/// mails asks auth for both at that moment, and keeps neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MailRequestedV1 {
    /// Under which auth tells what to send.
    pub mail_request_id: MailRequestId,
    /// To whom.
    pub user_id: UserId,
    /// What for.
    pub purpose: MailPurpose,
    /// In which language to write.
    pub locale: Locale,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// From when on the link is good for nothing.
    pub expires_at: DateTime<Utc>,
}
message!(
    MailRequestedV1,
    "kopeck.auth.mail_requested.v1",
    AuthEvents,
    "mail.requested",
    |m| m.mail_request_id.0,
    0
);

/// What a mail with a secret link is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
#[serde(rename_all = "snake_case")]
pub enum MailPurpose {
    /// To show that the address is theirs.
    #[sea_orm(string_value = "confirm_email")]
    ConfirmEmail,
    /// To choose a new password.
    #[sea_orm(string_value = "reset_password")]
    ResetPassword,
}
