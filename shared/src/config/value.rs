//! Values that say what they could be when they are not understood.

use std::net::SocketAddr;

use iso_currency::Currency;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{Environment, LogFormat, Network, SandboxMode};

/// What is to be said of an address that is none of the web.
pub(super) const NOT_HTTP: &str = "it must begin with http:// or https://";

/// Whether it is an address of the web.
pub(super) fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

impl TryFrom<String> for Environment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            _ => Err(format!("`{text}` is neither development nor production")),
        }
    }
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is neither text nor json")),
        }
    }
}

impl TryFrom<String> for SandboxMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "immediate" => Ok(Self::Immediate),
            "asynchronous" => Ok(Self::Asynchronous),
            _ => Err(format!("`{text}` is neither immediate nor asynchronous")),
        }
    }
}

pub(super) fn currency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
    let text = String::deserialize(deserializer)?;
    Currency::from_code(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "`{text}` is no currency: use a code of ISO 4217, such as RUB"
        ))
    })
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom(format!("`{text}` is no address and port, such as 127.0.0.1:8080")))
}

/// A list, or one text with commas or spaces, some of which may be too many: the environment has no
/// lists, and puts together what comes from several places.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        List(Vec<String>),
        One(String),
    }
    let texts = match Texts::deserialize(deserializer)? {
        Texts::List(texts) => texts,
        Texts::One(text) if text.trim().is_empty() => vec![text],
        Texts::One(text) => text
            .split(|separator: char| separator == ',' || separator.is_whitespace())
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    let network = |text: &String| {
        let parsed = text.parse::<Network>();
        parsed.map_err(|error| D::Error::custom(format!("`{text}` is no network: {error}")))
    };
    texts.iter().map(network).collect()
}
