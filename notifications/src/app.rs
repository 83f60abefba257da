//! What notifications does.

pub mod make_letters;
pub mod mark_letter_read;
pub mod read_letter;
pub mod reconcile;
