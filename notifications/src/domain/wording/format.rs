//! Amounts and instants as each language writes them.

use chrono::{Datelike as _, Timelike as _};
use shared::{clock::Instant, contracts::Locale, money::Money, zone::Zone};

/// Keeps together what must not be parted at the end of a line.
const SPACE: char = '\u{a0}';

const EN_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const RU_MONTHS: [&str; 12] = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
];

/// How a language writes digits.
struct Digits {
    /// From as many on they are parted into groups of three.
    grouped_from: usize,
    /// Between groups.
    group: char,
    /// Before decimals.
    point: char,
}

const EN_DIGITS: Digits = Digits {
    grouped_from: 4,
    group: ',',
    point: '.',
};

/// Four digits stand together in Russian.
const RU_DIGITS: Digits = Digits {
    grouped_from: 5,
    group: SPACE,
    point: ',',
};

/// `RUB 1,234.50`; `1234,50 ₽`. With as many decimals as ISO 4217 gives the currency.
pub(super) fn money(money: Money, locale: Locale) -> String {
    let sign = if money.amount.is_negative() { "-" } else { "" };
    let code = money.currency.code();
    match locale {
        Locale::En => format!("{sign}{code}{SPACE}{}", decimal(money, &EN_DIGITS)),
        Locale::Ru => {
            // People know the sign of their own currency, and take others' for one another.
            let unit = if code == "RUB" { "₽" } else { code };
            format!("{sign}{}{SPACE}{unit}", decimal(money, &RU_DIGITS))
        }
    }
}

/// On the clocks of `zone`: `November 21, 2026, 13:30 UTC+3`; `21 ноября 2026 г., 13:30 UTC+3`. Names of
/// zones differ between languages, and their abbreviations mean several.
pub(super) fn instant(at: Instant, zone: Zone, locale: Locale) -> String {
    let local = zone.local(at);
    let (year, day) = (local.year(), local.day());
    let month = usize::try_from(local.month0()).unwrap_or_default();
    let ahead = ahead(zone.seconds_ahead(at));
    let time = format!("{:02}:{:02}{SPACE}UTC{ahead}", local.hour(), local.minute());
    match locale {
        Locale::En => format!("{}{SPACE}{day}, {year}, {time}", EN_MONTHS[month % 12]),
        Locale::Ru => format!("{day}{SPACE}{} {year}{SPACE}г., {time}", RU_MONTHS[month % 12]),
    }
}

/// By how much clocks are ahead of UTC: nothing, `+3`, `−9:30`.
fn ahead(seconds: i32) -> String {
    let minutes = seconds.abs() / 60;
    if minutes == 0 {
        return String::new();
    }
    let sign = if seconds < 0 { '−' } else { '+' };
    match minutes % 60 {
        0 => format!("{sign}{}", minutes / 60),
        rest => format!("{sign}{}:{rest:02}", minutes / 60),
    }
}

/// The amount without its sign.
fn decimal(money: Money, written: &Digits) -> String {
    let minor = money.amount.0.unsigned_abs();
    let exponent = u32::from(money.currency.exponent().unwrap_or(0));
    let unit = 10_u64.pow(exponent);
    let major = grouped(&(minor / unit).to_string(), written);
    match usize::try_from(exponent) {
        Ok(width) if width > 0 => format!("{major}{}{:0width$}", written.point, minor % unit),
        _ => major,
    }
}

fn grouped(digits: &str, written: &Digits) -> String {
    if digits.len() < written.grouped_from {
        return digits.to_owned();
    }
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(written.group);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone as _, Utc};
    use iso_currency::Currency;
    use shared::money::Amount;

    use super::*;

    #[test]
    fn money_is_written_as_its_readers_do() {
        for (amount, currency, en, ru) in [
            (89_000, Currency::RUB, "RUB 890.00", "890,00 ₽"),
            (99_999, Currency::RUB, "RUB 999.99", "999,99 ₽"),
            (100_000, Currency::RUB, "RUB 1,000.00", "1000,00 ₽"),
            (190_000, Currency::RUB, "RUB 1,900.00", "1900,00 ₽"),
            (1_000_000, Currency::RUB, "RUB 10,000.00", "10 000,00 ₽"),
            (1_234_567, Currency::RUB, "RUB 12,345.67", "12 345,67 ₽"),
            (-5, Currency::RUB, "-RUB 0.05", "-0,05 ₽"),
            (123_456_789, Currency::JPY, "JPY 123,456,789", "123 456 789 JPY"),
            (1_234, Currency::BHD, "BHD 1.234", "1,234 BHD"),
            (
                i64::MIN,
                Currency::USD,
                "-USD 92,233,720,368,547,758.08",
                "-92 233 720 368 547 758,08 USD",
            ),
        ] {
            let written = |locale| {
                let text = money(Money::new(Amount(amount), currency), locale);
                assert!(!text.contains(' '), "it can be parted: {text}");
                text.replace(SPACE, " ")
            };
            assert_eq!(
                (written(Locale::En), written(Locale::Ru)),
                (en.to_owned(), ru.to_owned())
            );
        }
    }

    #[test]
    fn an_instant_is_written_on_the_clocks_of_its_reader() {
        let at = Utc.with_ymd_and_hms(2026, 12, 31, 22, 30, 0).unwrap();
        for (zone, en, ru) in [
            (
                "UTC",
                "December 31, 2026, 22:30 UTC",
                "31 декабря 2026 г., 22:30 UTC",
            ),
            (
                "Europe/Moscow",
                "January 1, 2027, 01:30 UTC+3",
                "1 января 2027 г., 01:30 UTC+3",
            ),
            (
                "Asia/Kolkata",
                "January 1, 2027, 04:00 UTC+5:30",
                "1 января 2027 г., 04:00 UTC+5:30",
            ),
            (
                "America/St_Johns",
                "December 31, 2026, 19:00 UTC−3:30",
                "31 декабря 2026 г., 19:00 UTC−3:30",
            ),
        ] {
            let zone = zone.parse().unwrap();
            let written = |locale| {
                let text = instant(at, zone, locale);
                text.replace(SPACE, " ")
            };
            assert_eq!(
                (written(Locale::En), written(Locale::Ru)),
                (en.to_owned(), ru.to_owned())
            );
        }
    }

    #[test]
    fn every_month_has_its_name() {
        let mut written = Vec::new();
        for month in 1..=12 {
            let at = Utc.with_ymd_and_hms(2026, month, 21, 9, 5, 0).unwrap();
            for locale in [Locale::En, Locale::Ru] {
                written.push(instant(at, Zone::UTC, locale).replace(SPACE, " "));
            }
        }
        assert_eq!(written[20], "November 21, 2026, 09:05 UTC");
        assert_eq!(written[21], "21 ноября 2026 г., 09:05 UTC");
        written.sort();
        written.dedup();
        assert_eq!(written.len(), 24);
    }
}
