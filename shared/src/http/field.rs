//! How single fields of a body are read.

use std::{fmt, marker::PhantomData};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{FieldError, Problem};
use crate::{
    clock::Instant,
    justification::{InvalidJustification, Justification},
};

/// For fields that may be absent but not null.
///
/// # Errors
/// When it is there and can't be read.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// For fields of which null takes away what is there, and whose absence leaves it.
///
/// # Errors
/// When it is there and can't be read.
pub fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The same as [`present`] for instants, which people most often write without their zone.
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

/// Why an administrator does something, as the field `reason` says it.
///
/// # Errors
/// 422 when it says nothing, or too much.
pub fn justification(reason: &str) -> Result<Justification, Problem> {
    reason.parse().map_err(|error: InvalidJustification| {
        Problem::invalid(&[FieldError::new("reason", error.to_string())])
    })
}

/// A field that holds an object and nothing else: derived, an array of its values in their order
/// would be one too. Every object in a body is to be wrapped in it; [`Money`](crate::money::Money)
/// and the body itself refuse arrays by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
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
