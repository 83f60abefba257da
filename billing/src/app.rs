//! What billing can do, one use case a file.

pub mod adjust_wallet;
pub mod announce_tariffs;
pub mod archive_tariff;
pub mod ask_again;
pub mod books;
pub mod buy_tariff;
pub mod cancel_purchase;
pub mod cancel_subscription;
pub mod change_tariff;
pub mod claim_key;
pub mod create_tariff;
pub mod decide_top_up;
pub mod fail_overdue_purchases;
mod failures;
pub mod finish_top_ups;
pub mod forfeit_wallets;
pub mod forget_users;
mod movements;
pub mod open_wallets;
pub mod read_purchase;
pub mod read_subscription;
pub mod read_tariff;
pub mod read_top_up;
pub mod read_wallet;
pub mod reconcile;
pub mod refund_purchase;
pub mod remind_of_endings;
pub mod report_settled;
pub mod settle_purchases;
mod settlement;
pub mod top_up_wallet;
pub mod withdraw_money;

pub use crate::store::After;
