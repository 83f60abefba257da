//! What an event says.

use std::{collections::BTreeMap, fmt};

use sentry::protocol::{Event, Exception, Level, Value};
use tracing::field::{Field, Visit};

use crate::{
    contracts::ServiceName,
    telemetry::{describe, trace},
};

/// Fields of the log by which reports are looked for. All others are details.
const TAGS: [&str; 7] = [
    "service",
    "request_id",
    "trace_id",
    "queue",
    "job",
    "what",
    "message_type",
];

/// The event of an error in the log.
pub(super) fn of_log(logged: &tracing::Event<'_>) -> Event<'static> {
    let mut fields = Fields::default();
    logged.record(&mut fields);
    let target = logged.metadata().target();
    let mut event = Event {
        level: Level::Error,
        logger: Some(target.to_owned()),
        tags: tags_of_task(target),
        ..Event::default()
    };
    let message = fields.0.remove("message").unwrap_or_default();
    match fields.0.remove("error").or_else(|| fields.0.remove("panic")) {
        // Two errors in one place are two things to look at.
        Some(error) => event.exception = vec![exception(message, error)].into(),
        None => event.message = Some(message),
    }
    for (name, value) in fields.0 {
        if TAGS.contains(&name) {
            event.tags.insert(name.to_owned(), value);
        } else {
            event.extra.insert(name.to_owned(), Value::String(value));
        }
    }
    event
}

/// The event of a panic, as Sentry makes it, with what tells where it belongs.
pub(super) fn of_panic(mut event: Event<'static>) -> Event<'static> {
    event.tags = tags_of_task("");
    for exception in &mut event.exception.values {
        exception.value = exception.value.take().map(|text| without_addresses(&text));
    }
    event
}

fn exception(what: String, why: String) -> Exception {
    Exception {
        ty: what,
        value: Some(why),
        ..Exception::default()
    }
}

/// What the present task works for; its service also from the crate that speaks.
fn tags_of_task(target: &str) -> BTreeMap<String, String> {
    let speaker = target.split("::").next().unwrap_or_default();
    let of_crate = || ServiceName::ALL.into_iter().find(|name| name.as_str() == speaker);
    let service = trace::service().or_else(of_crate);
    let traceparent = trace::current();
    let trace_id = traceparent.as_deref().and_then(trace::trace_id);
    [
        ("service", service.map(|service| service.as_str().to_owned())),
        ("request_id", trace::request_id().map(|id| without_addresses(&id))),
        ("trace_id", trace_id.map(str::to_owned)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// The fields of one line of the log, as texts.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    fn set(&mut self, field: &Field, text: &str) {
        self.0.insert(field.name(), without_addresses(text));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, &describe(value));
    }
}

/// The text without what looks like an e-mail address, or the credentials in a URL: errors of
/// parsers and databases may repeat what they were given. Rather too much is removed than too
/// little.
fn without_addresses(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    text.split_inclusive(char::is_whitespace)
        .map(|token| {
            // Whole, since a password may have anything in it that ends other words.
            if has_credentials(token) {
                return removed(token, char::is_whitespace);
            }
            token
                .split_inclusive(ends_word)
                .map(|word| match word.contains('@') {
                    true => removed(word, ends_word),
                    false => word.to_owned(),
                })
                .collect()
        })
        .collect()
}

fn has_credentials(token: &str) -> bool {
    token
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains('@'))
}

/// In the place of a word; what ends it stays.
fn removed(word: &str, ends: fn(char) -> bool) -> String {
    let end = word.chars().next_back().filter(|&last| ends(last));
    format!("[removed]{}", end.map(String::from).unwrap_or_default())
}

/// What can't be within an address. Apostrophes, `=`, braces and the like can: `o'hara@mail.example`.
fn ends_word(c: char) -> bool {
    c.is_whitespace() || "\"<>()[],;".contains(c)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{Layer, layer::SubscriberExt as _};

    use super::*;
    use crate::telemetry::trace::Scope;

    #[test]
    fn addresses_and_credentials_are_removed() {
        for (text, expected) in [
            ("no address", "no address"),
            (
                "invalid type: string \"anna@mail.example\", expected",
                "invalid type: string \"[removed]\", expected",
            ),
            (
                "Key (email)=(anna@mail.example) already exists",
                "Key (email)=([removed]) already exists",
            ),
            ("amqp://kopeck:hunter2@rabbit/kopeck is away", "[removed] is away"),
            (
                "url=\"postgres://kopeck:a=b,c;(d)'e@db/kopeck\", port=5432",
                "[removed] port=5432",
            ),
            ("<redis://:p<w>[x]{y}@cache>\nis away", "[removed]\nis away"),
            (
                "https://mail.example/ of anna@mail.example, gone",
                "https://mail.example/ of [removed], gone",
            ),
            ("anna@mail.example", "[removed]"),
            ("(o'hara@mail.example)", "([removed])"),
            ("to=bounce=anna@mail.example; next", "[removed]; next"),
            ("`{anna}@mail.example", "[removed]"),
            ("<анна@пример.рф>, then", "<[removed]>, then"),
        ] {
            assert_eq!(without_addresses(text), expected);
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Event<'static>>>>);

    impl<S: tracing::Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            self.0.lock().unwrap().push(of_log(event));
        }
    }

    fn event_of(log: impl FnOnce()) -> Event<'static> {
        let kept = Kept::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept.clone()), log);
        let mut events = kept.0.lock().unwrap();
        events.pop().expect("an event")
    }

    #[tokio::test]
    async fn an_error_tells_what_its_task_works_for() {
        let traceparent = trace::root();
        let trace_id = trace::trace_id(&traceparent).unwrap().to_owned();
        let scope = Scope {
            request_id: "request-1".to_owned(),
            traceparent,
            service: Some(ServiceName::Loyalty),
        };
        let event = trace::within(scope, async {
            event_of(|| tracing::error!(error = "anna@mail.example is taken", id = 7, "a request failed"))
        })
        .await;
        assert_eq!(event.tags["service"], "loyalty");
        assert_eq!(event.tags["request_id"], "request-1");
        assert_eq!(event.tags["trace_id"], trace_id);
        assert_eq!(event.extra["id"], "7");
        let exception = &event.exception.values[0];
        assert_eq!(exception.ty, "a request failed");
        assert_eq!(exception.value.as_deref(), Some("[removed] is taken"));
    }

    #[test]
    fn a_field_of_the_log_says_more_than_the_crate_that_speaks() {
        let event = event_of(|| tracing::error!(target: "billing::app", "it broke"));
        assert_eq!(event.tags["service"], "billing");
        assert_eq!(event.message.as_deref(), Some("it broke"));
        let event =
            event_of(|| tracing::error!(target: "billing::app", service = "auth", queue = "q", "it broke"));
        assert_eq!(
            (event.tags["service"].as_str(), event.tags["queue"].as_str()),
            ("auth", "q")
        );
    }
}
