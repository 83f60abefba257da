//! The use cases: one a file, reads of a noun together.

pub(crate) mod cached_terms;
pub(crate) mod change_campaign;
pub(crate) mod change_groups;
pub(crate) mod check_named;
pub(crate) mod create_campaign;
pub(crate) mod create_grant;
pub(crate) mod create_promocode;
pub(crate) mod decide_waiting_holds;
pub(crate) mod delete_grant;
pub(crate) mod forget_users;
pub(crate) mod guesses;
pub(crate) mod hold_promocodes;
pub(crate) mod move_campaign;
pub(crate) mod note_purchasers;
pub(crate) mod read_campaigns;
pub(crate) mod read_grants;
pub(crate) mod read_groups;
pub(crate) mod read_promocodes;
pub(crate) mod read_redemptions;
pub(crate) mod read_refusals;
pub(crate) mod read_usable_promocodes;
pub(crate) mod reconcile;
pub(crate) mod relations;
pub(crate) mod replicate_tariffs;
pub(crate) mod report_stale_holds;
pub(crate) mod settle_redemptions;
pub(crate) mod switch_promocode;
pub(crate) mod tell_of_grants;
pub(crate) mod try_promocode;
pub(crate) mod usable_grants;
pub(crate) mod validate_promocode;

/// Which part of a list is asked for.
pub(crate) use crate::store::page::Part;
