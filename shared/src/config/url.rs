//! What may be read of a URL that may hold a password.

/// The scheme of a URL, if it has one that may be shown: anything else in front of the first
/// colon may be a piece of a password.
pub(crate) fn scheme_of(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let plain = (1..=16).contains(&scheme.len())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'+');
    plain.then_some(scheme)
}

/// Whether the host and the credentials of a server's URL stand where everybody looks for them.
/// A password with a raw `/`, `?` or `#` ends them early: what reads on would take pieces of it
/// for a port or a name, and show them.
pub(crate) fn is_plain_server_url(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        !rest[end..].contains(['@', '#'])
    })
}
