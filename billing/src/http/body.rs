//! Checks what comes in.

use iso_currency::Currency;
use serde::Deserialize;
use shared::{
    http::{Cursor, FieldError, PageQuery, Problem},
    ids::UserId,
    money::Money,
};

use crate::{app::After, domain::wallet::OperationAmount};

/// Whose things a list shows: the caller's, unless an administrator says otherwise.
#[derive(Debug, Deserialize)]
pub(super) struct OwnerQuery {
    pub user_id: Option<UserId>,
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
