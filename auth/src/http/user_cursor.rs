//! Where a page of users ends, for each way of sorting them.

use axum::http::StatusCode;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike as _};
use shared::http::Problem;
use uuid::Uuid;

use crate::{
    app::{UserPosition, UserSort},
    domain::User,
};

/// No cursor of ours is longer.
const LONGEST: usize = 1_000;

/// The cursor behind `user`.
pub(super) fn encode(user: &User, sort: UserSort) -> String {
    let text = match sort {
        UserSort::RegisteredAt => {
            format!(
                "r.{}.{}",
                user.registered_at.timestamp_micros(),
                user.id.0.simple()
            )
        }
        UserSort::Email => format!("e.{}", user.email.normal()),
    };
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// What a cursor of a list that is sorted so says.
///
/// # Errors
/// 400 when it is none of ours, or of a list that is sorted otherwise.
pub(super) fn decode(text: &str, sort: UserSort) -> Result<UserPosition, Problem> {
    let position = match sort {
        UserSort::RegisteredAt => registered_at(text),
        UserSort::Email => email(text),
    };
    position.ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_cursor",
            "The cursor is not one of this list",
        )
    })
}

fn text_of(cursor: &str) -> Option<String> {
    let cursor = Some(cursor).filter(|cursor| cursor.len() <= LONGEST)?;
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

fn registered_at(cursor: &str) -> Option<UserPosition> {
    let text = text_of(cursor)?;
    let (at, id) = text.strip_prefix("r.")?.split_once('.')?;
    let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
    // Years that no database refuses.
    (0..=9_999).contains(&at.year()).then_some(())?;
    Some(UserPosition::RegisteredAt(at, Uuid::try_parse(id).ok()?))
}

fn email(cursor: &str) -> Option<UserPosition> {
    let text = text_of(cursor)?;
    let email = text.strip_prefix("e.")?;
    (!email.chars().any(char::is_control)).then(|| UserPosition::Email(email.to_owned()))
}

#[cfg(test)]
mod tests {
    use shared::{contracts::Locale, ids::UserId};

    use super::*;
    use crate::domain::{Email, USER};

    #[test]
    fn a_cursor_is_read_back_by_a_list_that_is_sorted_the_same_way() {
        let now = DateTime::from_timestamp_micros(1_763_692_800_123_456).unwrap();
        let email = Email::parse("Ann@example.com").unwrap();
        let user = User::register(UserId::new(now), email, Locale::En, USER, now);
        let (by_time, by_email) = (
            encode(&user, UserSort::RegisteredAt),
            encode(&user, UserSort::Email),
        );
        let read = |cursor: &str, sort| decode(cursor, sort).ok();
        assert_eq!(
            read(&by_time, UserSort::RegisteredAt),
            Some(UserPosition::RegisteredAt(now, user.id.0))
        );
        assert_eq!(
            read(&by_email, UserSort::Email),
            Some(UserPosition::Email("ann@example.com".to_owned()))
        );
        assert_eq!(read(&by_email, UserSort::RegisteredAt), None);
        assert_eq!(read(&by_time, UserSort::Email), None);
        let nul = BASE64_URL_SAFE_NO_PAD.encode("e.a\0");
        for nonsense in ["", "nonsense", nul.as_str(), &"a".repeat(LONGEST + 1)] {
            assert_eq!(read(nonsense, UserSort::Email), None);
        }
    }
}
