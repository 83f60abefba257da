//! How single fields of a body are read.

use serde::{Deserialize, Deserializer, de::Error as _};
pub(super) use shared::http::or_null;

use crate::domain::local_time::Moment;

/// A start or an end, as administrators write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written(pub Moment);

impl From<Written> for Moment {
    fn from(Written(moment): Written) -> Self {
        moment
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.parse() {
            Ok(moment) => Ok(Self(moment)),
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

/// For lists that say nothing when they are empty; who wants to say nothing leaves them out.
///
/// # Errors
/// When it is there and can't be read, or is empty.
pub(super) fn not_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(from)?;
    if list.is_empty() {
        return Err(D::Error::custom(
            "it must not be empty; leave it out for no condition",
        ));
    }
    Ok(list)
}
