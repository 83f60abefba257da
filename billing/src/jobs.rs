//! What billing does by itself.

mod fail_overdue_purchases;
mod finish_top_ups;

pub use fail_overdue_purchases::FailOverduePurchases;
pub use finish_top_ups::FinishTopUps;
