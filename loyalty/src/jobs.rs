//! What loyalty does by itself.

pub(crate) mod decide_waiting_holds;
pub(crate) mod report_stale_holds;
pub(crate) mod tell_of_grants;
