//! Discounts: what a campaign takes off a price.

use std::{fmt, str::FromStr};

use iso_currency::Currency;
use serde::{Deserialize, Serialize};
use shared::money::{Amount, Money};

/// The most that a discount or a price in a campaign may be, in minor units: far above any price,
/// and sums of many of them fit.
pub const MOST_MONEY: Amount = Amount(1_000_000_000_000_000);

/// 100 %, in basis points.
const WHOLE: u16 = 10_000;

/// A share above 0 % and up to 100 %, in basis points (hundredths of a percent).
///
/// On the wire a decimal string with at most two decimals, `"12.5"`: no floating point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u16);

/// Why a text or number is no [`Percent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    /// Not digits with at most two decimals.
    #[error("a percentage is a decimal number with at most two decimals, such as \"12.5\"")]
    NotDecimal,
    /// Nothing, or more than all.
    #[error("a percentage is above 0 and at most 100")]
    OutOfRange,
}

impl Percent {
    /// `basis_points` hundredths of a percent.
    ///
    /// # Errors
    /// When that is 0 % or above 100 %.
    pub const fn from_basis_points(basis_points: u16) -> Result<Self, PercentError> {
        if basis_points == 0 || basis_points > WHOLE {
            return Err(PercentError::OutOfRange);
        }
        Ok(Self(basis_points))
    }

    /// In hundredths of a percent: 1 to 10,000.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, decimals) = match text.split_once('.') {
            Some((_, "")) => return Err(PercentError::NotDecimal),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || decimals.len() > 2 || !digits(whole) || !digits(decimals) {
            return Err(PercentError::NotDecimal);
        }
        // Digits only by now, so what does not fit is merely too much.
        format!("{whole}{decimals:0<2}")
            .parse()
            .map_err(|_| PercentError::OutOfRange)
            .and_then(Self::from_basis_points)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        match (hundredths / 10, hundredths % 10) {
            (0, 0) => write!(f, "{whole}"),
            (tenths, 0) => write!(f, "{whole}.{tenths}"),
            _ => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

impl TryFrom<String> for Percent {
    type Error = PercentError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

/// What a campaign takes off, in the form that it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Discount {
    /// A share of the price.
    Percent {
        /// How much of it.
        percent: Percent,
    },
    /// The same amount off any price.
    AmountOff {
        /// How much; above zero.
        amount: Money,
    },
    /// Buy for N, whatever the price.
    FixedPrice {
        /// N; above zero (zero is [`Discount::Free`]).
        price: Money,
    },
    /// A free trial.
    // Braces, since serde lets unknown fields pass beside a bare tag.
    Free {},
}

/// Why a discount can't be given on this platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscountError {
    /// In other money than the platform's.
    #[error("{field} must be in {}, not {}", expected.code(), found.code())]
    WrongCurrency {
        /// Where, as it is called on the wire: `discount.amount`.
        field: &'static str,
        /// The platform's currency.
        expected: Currency,
        /// The discount's.
        found: Currency,
    },
    /// Nothing, or less.
    #[error("{field} must be above zero, not {}", found.0)]
    NotPositive {
        /// Where, as it is called on the wire: `discount.amount`.
        field: &'static str,
        /// The amount that was given.
        found: Amount,
    },
    /// More than anything costs.
    #[error("{field} must be at most {}, not {}", MOST_MONEY.0, found.0)]
    TooMuch {
        /// Where, as it is called on the wire: `discount.amount`.
        field: &'static str,
        /// The amount that was given.
        found: Amount,
    },
}

impl DiscountError {
    /// The field, as it is called on the wire.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::WrongCurrency { field, .. }
            | Self::NotPositive { field, .. }
            | Self::TooMuch { field, .. } => field,
        }
    }
}

/// Checks that `money`, which is called `field` on the wire, can be in a campaign on a platform
/// whose currency is `currency`.
///
/// # Errors
/// When it is in another currency, not above zero, or above [`MOST_MONEY`].
pub fn check_money(field: &'static str, money: Money, currency: Currency) -> Result<(), DiscountError> {
    let found = money.amount;
    if money.currency != currency {
        return Err(DiscountError::WrongCurrency {
            field,
            expected: currency,
            found: money.currency,
        });
    }
    if !found.is_positive() {
        return Err(DiscountError::NotPositive { field, found });
    }
    if found > MOST_MONEY {
        return Err(DiscountError::TooMuch { field, found });
    }
    Ok(())
}

/// A price and its two parts: `discount + final_price = list_price`, none below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priced {
    /// The price before the discount.
    pub list_price: Amount,
    /// What is taken off.
    pub discount: Amount,
    /// What is left to pay.
    pub final_price: Amount,
}

impl Discount {
    /// Checks that the discount can be given on a platform whose currency is `currency`.
    ///
    /// # Errors
    /// When its money is in another currency, not above zero, or above [`MOST_MONEY`].
    pub fn validate(&self, currency: Currency) -> Result<(), DiscountError> {
        match self {
            Self::Percent { .. } | Self::Free {} => Ok(()),
            Self::AmountOff { amount } => check_money("discount.amount", *amount, currency),
            Self::FixedPrice { price } => check_money("discount.price", *price, currency),
        }
    }

    /// Prices something that costs `list_price`, which is not below zero and in the currency
    /// that the discount was validated against.
    ///
    /// The discount is rounded half up to the minor unit. From a negative price nothing is
    /// taken off.
    #[must_use]
    pub fn price(&self, list_price: Amount) -> Priced {
        let list = list_price.0;
        let wanted = match self {
            Self::Percent { percent } => {
                let whole = i128::from(WHOLE);
                (i128::from(list) * i128::from(percent.0) + whole / 2) / whole
            }
            Self::AmountOff { amount } => i128::from(amount.amount.0),
            Self::FixedPrice { price } => i128::from(list) - i128::from(price.amount.0),
            Self::Free {} => i128::from(list),
        };
        let most = list.max(0);
        // Within 0..=most it fits.
        let discount = i64::try_from(wanted.clamp(0, i128::from(most))).unwrap_or(most);
        Priced {
            list_price,
            discount: Amount(discount),
            final_price: Amount(list - discount),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rub(amount: i64) -> Money {
        Money::new(Amount(amount), Currency::RUB)
    }

    fn percent(text: &str) -> Discount {
        Discount::Percent {
            percent: text.parse().unwrap(),
        }
    }

    fn parts(discount: Discount, list_price: i64) -> (i64, i64) {
        let priced = discount.price(Amount(list_price));
        assert_eq!(priced.list_price, Amount(list_price));
        (priced.discount.0, priced.final_price.0)
    }

    #[test]
    fn a_percentage_is_rounded_half_up_to_the_kopeck() {
        assert_eq!(parts(percent("12.5"), 100_000), (12_500, 87_500));
        assert_eq!(parts(percent("50"), 1), (1, 0));
        assert_eq!(parts(percent("25"), 2), (1, 1));
        assert_eq!(parts(percent("24.99"), 2), (0, 2));
        assert_eq!(parts(percent("33.33"), 100), (33, 67));
        assert_eq!(parts(percent("100"), i64::MAX), (i64::MAX, 0));
    }

    #[test]
    fn an_amount_off_never_makes_a_price_negative() {
        let off = Discount::AmountOff { amount: rub(500) };
        assert_eq!(parts(off, 900), (500, 400));
        assert_eq!(parts(off, 500), (500, 0));
        assert_eq!(parts(off, 499), (499, 0));
    }

    #[test]
    fn a_fixed_price_never_makes_anything_dearer() {
        let fixed = Discount::FixedPrice { price: rub(500) };
        assert_eq!(parts(fixed, 900), (400, 500));
        assert_eq!(parts(fixed, 500), (0, 500));
        assert_eq!(parts(fixed, 499), (0, 499));
    }

    #[test]
    fn free_takes_everything_off() {
        assert_eq!(parts(Discount::Free {}, 900), (900, 0));
        assert_eq!(parts(Discount::Free {}, 0), (0, 0));
    }

    #[test]
    fn discounts_read_and_write_as_on_the_wire() {
        let money = json!({"amount": 500, "currency": "RUB"});
        for (discount, wire) in [
            (percent("12.5"), json!({"type": "percent", "percent": "12.5"})),
            (
                Discount::AmountOff { amount: rub(500) },
                json!({"type": "amount_off", "amount": money}),
            ),
            (
                Discount::FixedPrice { price: rub(500) },
                json!({"type": "fixed_price", "price": money}),
            ),
            (Discount::Free {}, json!({"type": "free"})),
        ] {
            assert_eq!(serde_json::to_value(discount).unwrap(), wire);
            assert_eq!(serde_json::from_value::<Discount>(wire).unwrap(), discount);
        }
    }

    #[test]
    fn unknown_fields_numbers_and_strange_percentages_are_not_read() {
        for wire in [
            json!({"type": "free", "percent": "5"}),
            json!({"type": "percent", "percent": "5", "amount": 1}),
            json!({"type": "percent", "percent": 5}),
            json!({"type": "percent", "percent": 12.5}),
            json!({"type": "percent", "percent": "100.01"}),
            json!({"type": "amount_off", "amount": 500}),
            json!({"type": "half"}),
            json!({}),
        ] {
            assert!(
                serde_json::from_value::<Discount>(wire.clone()).is_err(),
                "{wire}"
            );
        }
    }

    #[test]
    fn a_percentage_is_a_plain_decimal_above_0_and_up_to_100() {
        let read = |text: &str| text.parse::<Percent>().map(Percent::basis_points);
        assert_eq!(read("0.01"), Ok(1));
        assert_eq!(read("12.5"), Ok(1_250));
        assert_eq!(read("12.50"), Ok(1_250));
        assert_eq!(read("100.00"), Ok(10_000));
        for text in [
            "", ".", ".5", "5.", "1.234", "-1", "+1", " 1", "1e1", "1,5", "5%", "٥",
        ] {
            assert_eq!(read(text), Err(PercentError::NotDecimal), "{text:?}");
        }
        for text in ["0", "0.00", "100.01", "101", "99999999999999999999"] {
            assert_eq!(read(text), Err(PercentError::OutOfRange), "{text:?}");
        }
    }

    #[test]
    fn money_of_another_currency_or_not_above_zero_is_no_discount() {
        let off = |amount| Discount::AmountOff { amount };
        assert_eq!(off(rub(1)).validate(Currency::RUB), Ok(()));
        assert_eq!(Discount::Free {}.validate(Currency::RUB), Ok(()));
        let euro = off(rub(1)).validate(Currency::EUR).unwrap_err();
        assert_eq!(euro.to_string(), "discount.amount must be in EUR, not RUB");
        for amount in [0, -1] {
            let error = Discount::FixedPrice { price: rub(amount) }
                .validate(Currency::RUB)
                .unwrap_err();
            assert_eq!(error.field(), "discount.price");
            assert!(matches!(error, DiscountError::NotPositive { .. }));
        }
    }

    fn discounts() -> impl Strategy<Value = Discount> {
        let money = prop_oneof![1..=10_000_i64, 1..=i64::MAX].prop_map(rub);
        prop_oneof![
            (1..=WHOLE).prop_map(|bp| Discount::Percent { percent: Percent(bp) }),
            money.clone().prop_map(|amount| Discount::AmountOff { amount }),
            money.prop_map(|price| Discount::FixedPrice { price }),
            Just(Discount::Free {}),
        ]
    }

    fn prices() -> impl Strategy<Value = i64> {
        prop_oneof![0..=10_000_i64, 0..=i64::MAX]
    }

    proptest! {
        #[test]
        fn the_parts_always_add_up_and_none_is_negative(discount in discounts(), list in prices()) {
            let priced = discount.price(Amount(list));
            prop_assert_eq!(priced.discount.plus(priced.final_price), Ok(Amount(list)));
            prop_assert!(!priced.discount.is_negative() && !priced.final_price.is_negative());
        }

        #[test]
        fn what_costs_more_is_never_cheaper_with_the_same_promocode(
            discount in discounts(), one in prices(), other in prices(), step in 0..=3_i64,
        ) {
            for (low, high) in [(one.min(other), one.max(other)), (one, one.saturating_add(step))] {
                let (low, high) = (discount.price(Amount(low)), discount.price(Amount(high)));
                prop_assert!(low.final_price <= high.final_price);
                prop_assert!(low.discount <= high.discount);
            }
        }

        #[test]
        fn a_percentage_is_what_exact_arithmetic_says(bp in 1..=WHOLE, list in prices()) {
            let exact = i128::from(list) * i128::from(bp);
            let (down, rest) = (exact / 10_000, exact % 10_000);
            let expected = if rest >= 5_000 { down + 1 } else { down };
            let priced = Discount::Percent { percent: Percent(bp) }.price(Amount(list));
            prop_assert_eq!(i128::from(priced.discount.0), expected);
        }

        #[test]
        fn a_percentage_reads_back_as_it_was_written(bp in 1..=WHOLE) {
            let percent = Percent::from_basis_points(bp).unwrap();
            prop_assert_eq!(percent.to_string().parse(), Ok(percent));
        }
    }
}
