//! Headers that may come once: of two, each reader would believe another one.

use axum::http::{HeaderMap, HeaderValue, header::AsHeaderName};

/// The header comes more than once, and nobody knows which one is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header comes more than once")]
pub struct Repeated;

/// The one value of the header `name`, if it is there.
///
/// # Errors
/// When it comes more than once, be it with the same value.
pub fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Repeated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_once_or_not_at_all() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static("one");
        assert_eq!(single(&headers, "idempotency-key"), Ok(None));
        headers.append("Idempotency-Key", value.clone());
        headers.append("other", value.clone());
        assert_eq!(single(&headers, "idempotency-key"), Ok(Some(&value)));
        headers.append("idempotency-key", value.clone());
        assert_eq!(single(&headers, "Idempotency-Key"), Err(Repeated));
        assert_eq!(single(&headers, "other"), Ok(Some(&value)));
    }
}
