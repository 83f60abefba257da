//! Why a configuration is not accepted, without what it may hold in secret.

/// Why the configuration is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or a variable can't be read, or has a key or a value that can't be. It says where,
    /// and repeats no text of a file and no value that may be a secret in the wrong place.
    #[error("the configuration can't be used: {0}")]
    Unusable(String),
    /// A value is understood, and wrong.
    #[error("`{key}` can't be used: {why}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// `key` can't be used, and why.
pub(super) fn wrong(key: &'static str, why: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Value {
        key,
        why: why.to_owned(),
    })
}

impl From<config::ConfigError> for ConfigError {
    fn from(error: config::ConfigError) -> Self {
        Self::Unusable(describe(&error))
    }
}

/// The library's own words, without what it repeats of the configuration.
fn describe(error: &config::ConfigError) -> String {
    use config::ConfigError as Error;
    let key_of = |key: &Option<String>| {
        key.as_ref()
            .map_or_else(String::new, |key| format!(" for key `{key}`"))
    };
    let origin_of = |origin: &Option<String>| {
        origin
            .as_ref()
            .map_or_else(String::new, |origin| format!(" in {origin}"))
    };
    match error {
        Error::FileParse { uri, cause } => {
            let file = uri.as_deref().unwrap_or("the file");
            format!("{file}: {}", without_source(&cause.to_string()))
        }
        Error::Type {
            origin,
            expected,
            key,
            ..
        } => format!("expected {expected}{}{}", key_of(key), origin_of(origin)),
        Error::At { error, origin, key } => {
            format!("{}{}{}", describe(error), key_of(key), origin_of(origin))
        }
        other => without_value(other.to_string()),
    }
}

/// Serde's words on a value of a wrong type, without the value: `invalid type: string "…",
/// expected a map`.
fn without_value(message: String) -> String {
    let wrong = message.starts_with("invalid type: ") || message.starts_with("invalid value: ");
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if wrong => format!("expected {expected}"),
        _ => message,
    }
}

/// A syntax error's position and message. Between them the library shows the line of the file,
/// in which a password may stand: a line of the number, that line and a line of marks, each
/// behind a bar.
fn without_source(shown: &str) -> String {
    let mut lines = shown.lines();
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("TOML parse error at line") {
        return "it is no TOML".to_owned();
    }
    let message: Vec<_> = lines.skip(3).collect();
    format!("{first}: {}", message.join(" ").trim_end())
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn errors_repeat_no_secret() {
        for text in [
            "[bus]\nurl = \"amqp://kopeck:hunter2@localhost",
            "[bus]\nurl = amqp://kopeck:hunter2@localhost",
            "hunter2",
            "[bus]\nurl = \"x\" hunter2",
            "bus = \"amqp://kopeck:hunter2@localhost\"",
            "[billing]\npurchase_deadline_seconds = \"hunter2\"",
        ] {
            let error = load(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_syntax_error_says_where_it_is() {
        let error = load("[bus]\nurl = \"hunter2").unwrap_err().to_string();
        assert!(
            error.contains(".toml") && error.contains("line 2, column"),
            "{error}"
        );
        assert!(error.contains("string"), "the message is there: {error}");
    }
}
