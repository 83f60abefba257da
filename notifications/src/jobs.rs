//! What notifications does from time to time.

pub mod send_mails;
