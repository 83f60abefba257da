//! What billing does by itself.

mod fail_overdue_purchases;
mod finish_top_ups;
mod forfeit_leftovers;
mod reconcile;
mod remind_of_endings;

pub use fail_overdue_purchases::FailOverduePurchases;
pub use finish_top_ups::FinishTopUps;
pub use forfeit_leftovers::ForfeitLeftovers;
pub use reconcile::Reconcile;
pub use remind_of_endings::RemindOfEndings;
