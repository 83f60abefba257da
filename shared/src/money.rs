//! Money: integers in minor units (kopecks), never floating point.

use std::fmt;

use iso_currency::Currency;
use sea_orm::DeriveValueType;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::ToSchema;

/// An amount in minor units of the platform's one currency (kopecks where it is the rouble).
///
/// May be negative where a sum of postings may be; prices and payments are checked to be
/// positive where they enter.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    DeriveValueType,
    ToSchema,
)]
#[serde(transparent)]
pub struct Amount(pub i64);

/// An amount left the range of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount is out of range")]
pub struct OutOfRange;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn plus(self, other: Self) -> Result<Self, OutOfRange> {
        self.0.checked_add(other.0).map(Self).ok_or(OutOfRange)
    }

    /// The difference.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn minus(self, other: Self) -> Result<Self, OutOfRange> {
        self.0.checked_sub(other.0).map(Self).ok_or(OutOfRange)
    }

    /// True above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// True below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

/// An amount with its currency: how money looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"amount": 89_000, "currency": "RUB"}))]
pub struct Money {
    /// Minor units of `currency`.
    #[schema(value_type = i64)]
    pub amount: Amount,
    /// ISO 4217.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
    pub currency: Currency,
}

impl Money {
    /// `amount` minor units of `currency`.
    #[must_use]
    pub const fn new(amount: Amount, currency: Currency) -> Self {
        Self { amount, currency }
    }
}

/// Takes an object and nothing else: derived, `[100, "RUB"]` would be money too.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MoneyVisitor)
    }
}

struct MoneyVisitor;

impl<'de> Visitor<'de> for MoneyVisitor {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object like {\"amount\": 89000, \"currency\": \"RUB\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Money, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            amount: Amount,
            currency: String,
        }
        let Fields { amount, currency } = Fields::deserialize(MapAccessDeserializer::new(map))?;
        let currency = Currency::from_code(&currency).ok_or_else(|| {
            de::Error::custom(format!(
                "`currency`: {currency:?} is none, it must be a code of ISO 4217, such as RUB"
            ))
        })?;
        Ok(Money { amount, currency })
    }
}

/// As people write it, with as many decimals as ISO 4217 gives the currency: `890.00 RUB`, `5 JPY`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount.0 < 0 { "-" } else { "" };
        let minor = self.amount.0.unsigned_abs();
        match u32::from(self.currency.exponent().unwrap_or(0)) {
            0 => write!(f, "{sign}{minor} {}", self.currency.code()),
            digits => {
                let unit = 10_u64.pow(digits);
                let width = usize::try_from(digits).unwrap_or_default();
                write!(
                    f,
                    "{sign}{}.{:0width$} {}",
                    minor / unit,
                    minor % unit,
                    self.currency.code()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_with_the_decimals_of_its_currency() {
        let show = |amount, currency| Money::new(Amount(amount), currency).to_string();
        assert_eq!(show(89_000, Currency::RUB), "890.00 RUB");
        assert_eq!(show(-5, Currency::RUB), "-0.05 RUB");
        assert_eq!(show(5, Currency::JPY), "5 JPY");
        assert_eq!(show(1_234, Currency::BHD), "1.234 BHD");
        assert_eq!(show(i64::MIN, Currency::JPY), "-9223372036854775808 JPY");
    }

    #[test]
    fn sums_that_do_not_fit_are_errors() {
        assert_eq!(Amount(i64::MAX).plus(Amount(1)), Err(OutOfRange));
        assert_eq!(Amount(i64::MIN).minus(Amount(1)), Err(OutOfRange));
    }

    #[test]
    fn what_is_not_quite_money_is_not_read_as_money() {
        assert!(serde_json::from_str::<Money>(r#"{"amount": 1.5, "currency": "RUB"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount": 1, "currency": "XYZ"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount": 1, "currency": "RUB", "x": 1}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"[1, "RUB"]"#).is_err());
    }
}
