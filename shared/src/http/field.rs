//! How single fields of a body are read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::clock::Instant;

/// For fields that may be absent but not null.
///
/// # Errors
/// When it is there and can't be read.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// The same for instants, which people most often write without their zone.
///
/// # Errors
/// When it is there and is no instant of RFC 3339.
pub fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Instant>, D::Error> {
    let text = String::deserialize(from)?;
    match DateTime::parse_from_rfc3339(&text) {
        Ok(instant) => Ok(Some(instant.with_timezone(&Utc))),
        Err(_) => Err(D::Error::custom(format!(
            "`{text}` is no instant: it must be RFC 3339 with a zone, such as 2027-01-31T21:00:00Z"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_without_its_zone_is_refused_with_an_example() {
        let read = |text: &str| instant(serde_json::Value::from(text)).map_err(|error| error.to_string());
        let zoned = read("2027-02-01T00:00:00+03:00").unwrap().unwrap();
        assert_eq!(zoned, read("2027-01-31T21:00:00Z").unwrap().unwrap());
        for text in ["2027-01-01T00:00:00", "2027-01-01", "2027-13-01T00:00:00Z", ""] {
            assert!(read(text).unwrap_err().contains("RFC 3339"), "{text}");
        }
    }
}
