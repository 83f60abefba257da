//! What notifications does.

pub mod forget_user;
pub mod make_letters;
pub mod mark_letter_read;
pub mod outage;
pub mod preferences;
pub mod read_letter;
pub mod reconcile;
pub mod resend_letter;
pub mod send_mails;
