//! Tariffs, as far as loyalty cares.

use shared::contracts::TariffStatus;

/// Whether it can be bought, so that a promocode can be tried on it.
#[must_use]
pub const fn is_sold(status: TariffStatus) -> bool {
    matches!(status, TariffStatus::Active)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archived_tariff_is_not_sold() {
        assert!(is_sold(TariffStatus::Active));
        assert!(!is_sold(TariffStatus::Archived));
    }
}
