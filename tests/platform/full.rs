//! What costs minutes: in the full tier only.

mod bench;
mod replicas;
