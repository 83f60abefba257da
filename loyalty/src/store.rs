//! The database: entities and queries, and whatever differs between SQLite and PostgreSQL.

pub(crate) mod audit;
pub(crate) mod campaigns;
pub(crate) mod counters;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod page;
pub(crate) mod promocodes;
pub(crate) mod purchasers;
pub(crate) mod recounts;
pub(crate) mod redemptions;
pub(crate) mod refusals;
pub(crate) mod returned_uses;
pub(crate) mod tariffs;
pub(crate) mod waiting_holds;

use sea_orm::DbErr;

/// Rows in one statement, well under both databases' limits of parameters.
const CHUNK: usize = 1_000;

/// A stored text that does not read back.
fn unreadable(what: &str, text: &str) -> DbErr {
    DbErr::Type(format!("`{text}` is no {what}"))
}

fn to_json(value: &impl serde::Serialize) -> Result<String, DbErr> {
    serde_json::to_string(value).map_err(|error| DbErr::Json(error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, DbErr> {
    serde_json::from_str(text).map_err(|error| DbErr::Json(error.to_string()))
}
