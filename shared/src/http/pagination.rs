//! Lists, page by page: `{items, next_cursor}`, newest first unless a list says otherwise.

use axum::http::StatusCode;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike as _};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Problem;
use crate::clock::Instant;

const DEFAULT_LIMIT: u64 = 50;
const LARGEST_LIMIT: u64 = 200;

/// Where a page ends: the sort instant and the id of its last item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The instant that the list is sorted by.
    pub at: Instant,
    /// Breaks ties.
    pub id: Uuid,
}

impl Cursor {
    fn encode(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at.timestamp_micros(), self.id.simple()))
    }

    fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (at, id) = text.split_once('.')?;
        let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
        // Years that no database refuses: a forged cursor is the client's mistake, not ours.
        (0..=9_999).contains(&at.year()).then_some(())?;
        Some(Self {
            at,
            id: Uuid::try_parse(id).ok()?,
        })
    }
}

/// The query parameters of every list. Flatten it not: take it as a second `Query`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items a page: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u64>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Items a page.
    ///
    /// # Errors
    /// 400 when it is out of range.
    pub fn limit(&self) -> Result<u64, Problem> {
        match self.limit {
            None => Ok(DEFAULT_LIMIT),
            Some(limit @ 1..=LARGEST_LIMIT) => Ok(limit),
            Some(_) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_query",
                "The query has invalid parameters",
            )
            .detail(format!("`limit` must be from 1 to {LARGEST_LIMIT}."))),
        }
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// 400 when it is no cursor of ours.
    pub fn after(&self) -> Result<Option<Cursor>, Problem> {
        let Some(text) = &self.cursor else {
            return Ok(None);
        };
        Cursor::decode(text).map(Some).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_cursor",
                "The cursor is not one of this list",
            )
        })
    }
}

/// Takes an instant of the query that the databases can tell: they keep the years 0 to 9999.
///
/// # Errors
/// 400 when `parameter` is outside of them.
pub fn in_range(parameter: &str, instant: Option<Instant>) -> Result<(), Problem> {
    if instant.is_none_or(|instant| (0..=9_999).contains(&instant.year())) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid_query",
        "The query has invalid parameters",
    )
    .detail(format!("`{parameter}` must be in the years 0 to 9999.")))
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` of `rows`, of which one more was asked for than the page takes,
    /// so that it is known whether there is a next one.
    #[must_use]
    pub fn of<R>(mut rows: Vec<R>, limit: u64, cursor: impl Fn(&R) -> Cursor, item: impl Fn(R) -> T) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more {
            rows.last().map(|row| cursor(row).encode())
        } else {
            None
        };
        Self {
            items: rows.into_iter().map(item).collect(),
            next_cursor,
        }
    }

    /// A page of these items, behind which the next one begins at `next`: for lists that pick from
    /// what they look through, and stop after so much of it.
    #[must_use]
    pub fn until(items: Vec<T>, next: Option<Cursor>) -> Self {
        Self {
            items,
            next_cursor: next.map(Cursor::encode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back() {
        let at = DateTime::from_timestamp_micros(1_763_692_800_123_456).unwrap();
        let cursor = Cursor {
            at,
            id: crate::ids::new_uuid(at),
        };
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        assert_eq!(Cursor::decode("nonsense"), None);
        let forged = Cursor {
            at: DateTime::<chrono::Utc>::MIN_UTC,
            ..cursor
        };
        assert_eq!(Cursor::decode(&forged.encode()), None);
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let at = DateTime::from_timestamp_micros(0).unwrap();
        let page = |rows: Vec<u8>| Page::of(rows, 2, |_| Cursor { at, id: Uuid::nil() }, |row| row);
        assert!(page(vec![1, 2]).next_cursor.is_none());
        assert!(page(vec![1, 2, 3]).next_cursor.is_some());
        assert_eq!(page(vec![1, 2, 3]).items, [1, 2]);
    }
}
