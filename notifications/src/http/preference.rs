//! What a user wants mailed.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::http::{Caller, Json, Object, Problem};
use utoipa::ToSchema;

use super::AppState;
use crate::{app::preferences, domain::letter::LetterKind};

/// What a user wants. The inbox always has every letter.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Preferences {
    #[schema(value_type = MailPreferences)]
    mail: Object<MailPreferences>,
}

macro_rules! mail_preferences {
    ($($kind:ident $field:ident,)*) => {
        /// Which kinds of letters are mailed; one that is left out is. What is about the safety of the
        /// account always is.
        #[derive(Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct MailPreferences {
            $(
                #[serde(default = "yes")]
                #[schema(default = true)]
                $field: bool,
            )*
        }

        impl MailPreferences {
            fn all_but(unmailed: &[LetterKind]) -> Self {
                Self {
                    $($field: !unmailed.contains(&LetterKind::$kind),)*
                }
            }

            fn unmailed(&self) -> Vec<LetterKind> {
                let kinds = [$((LetterKind::$kind, self.$field)),*];
                kinds.into_iter().filter(|(_, mailed)| !mailed).map(|(kind, _)| kind).collect()
            }
        }

        #[cfg(test)]
        const CHOSEN: &[(LetterKind, &str)] = &[$((LetterKind::$kind, stringify!($field))),*];
    };
}

mail_preferences! {
    Welcome welcome,
    WalletCredited wallet_credited,
    WalletDebited wallet_debited,
    WithdrawalFailed withdrawal_failed,
    TopUpFailed top_up_failed,
    PurchasePaid purchase_paid,
    PurchaseFailed purchase_failed,
    PurchaseRefunded purchase_refunded,
    SubscriptionEnding subscription_ending,
    PromocodeGranted promocode_granted,
}

fn yes() -> bool {
    true
}

/// What the caller wants mailed.
#[utoipa::path(get, path = "/preferences", responses(
    (status = 200, body = Preferences),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account.")))]
pub async fn get_preferences(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<Preferences>, Problem> {
    let unmailed = preferences::read_unmailed(state.db.reader(), caller.own()?).await?;
    Ok(Json(Preferences {
        mail: Object(MailPreferences::all_but(&unmailed)),
    }))
}

/// Sets what the caller wants mailed from now on.
#[utoipa::path(put, path = "/preferences", request_body = Preferences, responses(
    (status = 200, body = Preferences),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account.")))]
pub async fn put_preferences(
    State(state): State<AppState>,
    caller: Caller,
    Json(wanted): Json<Preferences>,
) -> Result<Json<Preferences>, Problem> {
    let (user, unmailed) = (caller.own()?, &wanted.mail.0.unmailed());
    state
        .db
        .write(|tx| async move { preferences::replace_unmailed(&tx, user, unmailed).await })
        .await?;
    Ok(Json(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_chosen_but_what_is_about_security() {
        for kind in LetterKind::ALL {
            let chosen = CHOSEN.iter().find(|(chosen, _)| *chosen == kind);
            assert_eq!(chosen.is_none(), kind.is_about_security(), "{kind:?}");
            if let Some((_, field)) = chosen {
                assert_eq!(*field, kind.as_str());
            }
        }
    }
}
