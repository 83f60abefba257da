//! What is sold: a price for a period.

use shared::{contracts::TariffStatus, ids::TariffId, money::Amount};

use super::{
    period::{Period, PeriodError},
    wallet::MAX_OPERATION,
};

/// The most characters a tariff's name may have.
pub const MAX_NAME: usize = 200;

/// What is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// Which.
    pub id: TariffId,
    /// Grows by one with every change; a purchase remembers the one it bought.
    pub version: i64,
    /// Its name: 1 to [`MAX_NAME`] characters.
    pub name: String,
    /// Its price in minor units: from zero to [`MAX_OPERATION`], so that it can be charged.
    pub price: Amount,
    /// How long what is bought runs.
    pub period: Period,
    /// Whether it is sold.
    pub status: TariffStatus,
}

/// A tariff as somebody asked for it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTariff {
    name: String,
    price: Amount,
    period: Period,
}

/// What is wrong with one field of a tariff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TariffError {
    /// Nothing but space.
    #[error("a tariff needs a name")]
    NameEmpty,
    /// More than [`MAX_NAME`] characters.
    #[error("a tariff's name has at most {MAX_NAME} characters")]
    NameTooLong,
    /// Line breaks and the like, which would go into the headers of mails.
    #[error("a tariff's name has no control characters")]
    NameHasControlCharacters,
    /// Below zero.
    #[error("a tariff's price is not below zero")]
    PriceNegative,
    /// More than one operation may move.
    #[error("a tariff's price is at most {} minor units", MAX_OPERATION.0)]
    PriceTooLarge,
    /// No period.
    #[error(transparent)]
    Period(#[from] PeriodError),
}

impl TariffError {
    /// The field that is wrong, as the API names it.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::NameEmpty | Self::NameTooLong | Self::NameHasControlCharacters => "name",
            Self::PriceNegative | Self::PriceTooLarge => "price",
            Self::Period(_) => "period",
        }
    }
}

impl NewTariff {
    /// Checks every field; space around the name is dropped.
    ///
    /// # Errors
    /// All that is wrong, at most one thing a field.
    pub fn parse(name: &str, price: Amount, period: &str) -> Result<Self, Vec<TariffError>> {
        match (parse_name(name), parse_price(price), period.parse::<Period>()) {
            (Ok(name), Ok(price), Ok(period)) => Ok(Self { name, price, period }),
            (name, price, period) => {
                let period = period.err().map(TariffError::Period);
                Err([name.err(), price.err(), period].into_iter().flatten().collect())
            }
        }
    }
}

fn parse_name(name: &str) -> Result<String, TariffError> {
    let name = name.trim();
    if name.is_empty() {
        return Err(TariffError::NameEmpty);
    }
    if name.chars().count() > MAX_NAME {
        return Err(TariffError::NameTooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(TariffError::NameHasControlCharacters);
    }
    Ok(name.to_owned())
}

fn parse_price(price: Amount) -> Result<Amount, TariffError> {
    if price.is_negative() {
        return Err(TariffError::PriceNegative);
    }
    if price > MAX_OPERATION {
        return Err(TariffError::PriceTooLarge);
    }
    Ok(price)
}

impl Tariff {
    /// The first version of a tariff, on sale.
    #[must_use]
    pub fn new(id: TariffId, new: NewTariff) -> Self {
        let NewTariff { name, price, period } = new;
        Self {
            id,
            version: 1,
            name,
            price,
            period,
            status: TariffStatus::Active,
        }
    }

    /// Whether it can be bought.
    #[must_use]
    pub fn is_sold(&self) -> bool {
        self.status == TariffStatus::Active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tariff_may_cost_nothing() {
        let new = NewTariff::parse("  Trial ", Amount(0), "P2W").unwrap();
        let tariff = Tariff::new(TariffId(uuid::Uuid::from_u128(1)), new);
        assert_eq!(
            (tariff.name.as_str(), tariff.price, tariff.version),
            ("Trial", Amount(0), 1)
        );
        assert!(tariff.is_sold());
        assert!(
            !Tariff {
                status: TariffStatus::Archived,
                ..tariff
            }
            .is_sold()
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let errors = NewTariff::parse(" ", Amount(-1), "month").unwrap_err();
        let malformed = TariffError::Period(PeriodError::Malformed);
        assert_eq!(
            errors,
            [TariffError::NameEmpty, TariffError::PriceNegative, malformed]
        );
        let fields: Vec<_> = errors.iter().map(|error| error.field()).collect();
        assert_eq!(fields, ["name", "price", "period"]);
    }

    #[test]
    fn the_bounds_are_those_that_are_said() {
        let parse = |name: &str, price| NewTariff::parse(name, Amount(price), "P1M");
        assert!(parse(&"ы".repeat(MAX_NAME), MAX_OPERATION.0).is_ok());
        assert_eq!(
            parse(&"ы".repeat(MAX_NAME + 1), 1),
            Err(vec![TariffError::NameTooLong])
        );
        assert_eq!(
            parse("Basic", MAX_OPERATION.0 + 1),
            Err(vec![TariffError::PriceTooLarge])
        );
        assert_eq!(
            parse("Basic\r\nBcc: x", 1),
            Err(vec![TariffError::NameHasControlCharacters])
        );
    }
}
