//! What auth does from time to time.

mod forget_old;

pub(crate) use forget_old::ForgetOld;
