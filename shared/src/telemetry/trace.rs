//! W3C Trace Context: which request this task works for.
//! <https://www.w3.org/TR/trace-context/>

use std::future::Future;

use rand::RngExt as _;

use crate::contracts::ServiceName;

tokio::task_local! {
    static SCOPE: Scope;
}

/// What a task works for.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The request, as its answer names it.
    pub request_id: String,
    /// The W3C `traceparent`.
    pub traceparent: String,
    /// Whose route it is; none where it is the process's or nobody's.
    pub service: Option<ServiceName>,
}

/// Runs `work` within `scope`.
pub async fn within<F: Future>(scope: Scope, work: F) -> F::Output {
    SCOPE.scope(scope, work).await
}

/// The present task's traceparent.
#[must_use]
pub fn current() -> Option<String> {
    SCOPE.try_with(|scope| scope.traceparent.clone()).ok()
}

/// The present task's request id.
#[must_use]
pub fn request_id() -> Option<String> {
    SCOPE.try_with(|scope| scope.request_id.clone()).ok()
}

/// The service whose route the present task answers.
#[must_use]
pub fn service() -> Option<ServiceName> {
    SCOPE.try_with(|scope| scope.service).ok().flatten()
}

/// The beginning of a new trace.
#[must_use]
pub fn root() -> String {
    let trace_id: u128 = rand::rng().random_range(1..=u128::MAX);
    let span_id: u64 = rand::rng().random_range(1..=u64::MAX);
    format!("00-{trace_id:032x}-{span_id:016x}-01")
}

/// A new step of the trace of `parent`; a new trace if `parent` is not a traceparent.
#[must_use]
pub fn child_of(parent: &str) -> String {
    match trace_id(parent) {
        Some(trace_id) => {
            let span_id: u64 = rand::rng().random_range(1..=u64::MAX);
            format!("00-{trace_id}-{span_id:016x}-01")
        }
        None => root(),
    }
}

/// The trace's id, if `traceparent` is one.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace_id, span_id) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            && text.bytes().any(|byte| byte != b'0')
    };
    (version == "00" && hex(trace_id, 32) && hex(span_id, 16)).then_some(trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stays_on_its_trace() {
        let parent = root();
        let child = child_of(&parent);
        assert_ne!(parent, child);
        assert_eq!(trace_id(&parent), trace_id(&child));
        assert!(trace_id(&parent).is_some());
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        for text in [
            "",
            "00-xyz-1-01",
            "00-00000000000000000000000000000000-0000000000000001-01",
            "01-a-b-c",
        ] {
            assert_eq!(trace_id(text), None);
            assert!(trace_id(&child_of(text)).is_some());
        }
    }
}
