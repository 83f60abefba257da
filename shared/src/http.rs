//! HTTP as every service speaks it: problem details, token check, pagination, idempotency.

mod caller;
mod client;
mod extract;
mod field;
mod idempotency;
mod middleware;
pub mod openapi;
mod pagination;
mod parameters;
mod problem;
mod single;

pub use caller::{Caller, Guard, RecentCaller, UserStatuses};
pub use client::{ClientAddress, TrustedProxies, client_address};
pub use extract::{Json, Path, Query, RawBody, RawJson};
pub use field::{Object, instant, justification, or_null, present};
pub use idempotency::Idempotency;
pub use middleware::finish;
pub use pagination::{Cursor, Page, PageQuery, in_range};
pub use parameters::refuse_unknown_parameters;
pub use problem::{FieldError, Problem};
pub use single::{Repeated, single};
pub use utoipa_axum::{router::OpenApiRouter, routes};
