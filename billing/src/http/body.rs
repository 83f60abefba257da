//! Checks what comes in.

use chrono::{DateTime, Utc};
use iso_currency::Currency;
use serde::Deserialize;
use shared::{
    http::{Cursor, FieldError, PageQuery, Problem, in_range},
    ids::UserId,
    money::Money,
};
use utoipa::IntoParams;

use crate::{app::After, domain::wallet::OperationAmount};

/// Whose things a list shows: the caller's, unless an administrator says otherwise.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OwnerQuery {
    /// The caller's own if absent; somebody else's needs `billing.read`.
    pub user_id: Option<UserId>,
}

/// When what a list shows took place.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TimeQuery {
    /// Then or later.
    pub from: Option<DateTime<Utc>>,
    /// Before then.
    pub to: Option<DateTime<Utc>>,
}

impl TimeQuery {
    /// # Errors
    /// 400 when the databases could not tell an instant: they keep the years 0 to 9999.
    pub(super) fn checked(self) -> Result<Self, Problem> {
        in_range("from", self.from)?;
        in_range("to", self.to)?;
        Ok(self)
    }
}

/// The header that names an operation, for the description of the API.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // read by `Idempotency`
pub(super) struct KeyHeader {
    /// Names the operation: a repeat under the same key finds it and does not do it again.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        required = false
    )]
    key: Option<String>,
}

/// What an operation is to move.
pub(super) fn operation_amount(money: Money, currency: Currency) -> Result<OperationAmount, Problem> {
    let mut errors = Vec::new();
    errors.extend(wrong_currency("currency", money, currency));
    let amount = OperationAmount::parse(money.amount)
        .map_err(|error| errors.push(FieldError::new("amount", error.to_string())));
    match amount {
        Ok(amount) if errors.is_empty() => Ok(amount),
        _ => Err(Problem::invalid(&errors)),
    }
}

pub(super) fn wrong_currency(field: &str, money: Money, currency: Currency) -> Option<FieldError> {
    let code = currency.code();
    (money.currency != currency)
        .then(|| FieldError::new(field, format!("the currency of this platform is {code}")))
}

/// Where the page begins, and how many items it has.
pub(super) fn page(query: &PageQuery) -> Result<(After, u64), Problem> {
    let after = query.after()?.map(|Cursor { at, id }| (at, id));
    Ok((after, query.limit()?))
}
