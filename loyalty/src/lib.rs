//! stub

pub mod domain;
