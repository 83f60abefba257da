//! What auth does from time to time.

mod end_withdrawn;
mod forget_old;

pub(crate) use end_withdrawn::EndWithdrawn;
pub(crate) use forget_old::ForgetOld;
