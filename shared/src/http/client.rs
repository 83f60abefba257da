//! From where a request comes.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts},
    http::{HeaderMap, request::Parts},
};

use crate::config::Network;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request comes from: its connection's, or, where that is a `trusted` reverse
/// proxy's, the one for which the proxy says to forward it. `None` if the server was started so that
/// it is not known.
#[must_use]
pub fn client_address(parts: &Parts, trusted: &[Network]) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    let peer = peer.0.ip().to_canonical();
    if is_forgotten(peer, &parts.headers, trusted) && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            "a proxy that is not in `auth.trusted_proxies` sends X-Forwarded-For: all clients behind it count as \
             one address, and share its limits"
        );
    }
    Some(behind(peer, &parts.headers, trusted))
}

/// Whether the log has it already.
static WARNED: AtomicBool = AtomicBool::new(false);

/// Whether the peer is most likely a proxy of this platform that is missing in the configuration. Strangers from
/// the internet may send the header as well, and mean nothing by it.
fn is_forgotten(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> bool {
    let is_trusted = trusted.iter().any(|network| network.contains(peer));
    !is_trusted && is_private(peer) && headers.contains_key(FORWARDED_FOR)
}

/// Whether the address is one of a machine, a network or a provider of its own.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

/// The reverse proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug)]
pub struct TrustedProxies(pub Arc<[Network]>);

/// The address that a request comes from; see [`client_address`].
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress
where
    TrustedProxies: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let proxies = TrustedProxies::from_ref(state);
        Ok(Self(client_address(parts, &proxies.0)))
    }
}

/// Every proxy appends whom it got the request from, so that only the end of the list can be
/// believed: up to the first address that is none of our proxies'. Empty elements of the list mean
/// nothing (RFC 9110, 5.6.1); what is no address ends what can be believed.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    let fields = headers.get_all(FORWARDED_FOR).iter().rev();
    let elements = fields.flat_map(|value| value.to_str().unwrap_or("unreadable").rsplit(','));
    let mut elements = elements.map(str::trim).filter(|element| !element.is_empty());
    while is_trusted(client) {
        let Some(before) = elements.next().and_then(address_in) else {
            break;
        };
        client = before;
    }
    client
}

/// The address in an element of the list. Proxies write it bare, with a port, in brackets, in quotes, or
/// as several of these: `203.0.113.9:4711`, `"[2001:db8::1]:4711"`.
fn address_in(element: &str) -> Option<IpAddr> {
    let quoted = element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(element).trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        let is_whole = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        // The zone is the proxy's own affair.
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        return is_whole
            .then(|| address.parse::<Ipv6Addr>().ok())
            .flatten()
            .map(|address| IpAddr::V6(address).to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    let address = address.parse::<Ipv4Addr>().ok()?;
    is_port(port).then_some(IpAddr::V4(address))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711, 10.0.0.2:80"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            (
                "10.0.0.1",
                &["\"[2001:db8::1]:4711\", \"10.0.0.2\""],
                "2001:db8::1",
            ),
            ("10.0.0.1", &["6.6.6.6, , 198.51.100.1, ,"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1", ",", ""], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1\t"], "198.51.100.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
            }
            let peer: IpAddr = peer.parse().unwrap();
            let found = behind(peer.to_canonical(), &headers, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {forwarded:?}");
            assert_eq!(behind(peer, &headers, &[]), peer, "nobody is trusted by default");
        }
    }

    #[test]
    fn what_cannot_be_read_hides_what_was_said_before_it() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"));
        headers.append(FORWARDED_FOR, HeaderValue::from_bytes(b"\xff").unwrap());
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(behind(peer, &headers, &trusted), peer);
    }

    #[test]
    fn an_address_is_found_however_it_is_written() {
        for (element, expected) in [
            ("203.0.113.9", Some("203.0.113.9")),
            ("203.0.113.9:65535", Some("203.0.113.9")),
            ("\"203.0.113.9:80\"", Some("203.0.113.9")),
            ("[203.0.113.9]", None),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("\" [2001:db8::1]:443 \"", Some("2001:db8::1")),
            ("[fe80::1%eth0]:443", Some("fe80::1")),
            ("[::ffff:203.0.113.9]:443", Some("203.0.113.9")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("203.0.113.9:", None),
            ("203.0.113.9:65536", None),
            ("203.0.113.9:80:80", None),
            ("[2001:db8::1]443", None),
            ("[2001:db8::1", None),
            ("[]", None),
            ("\"", None),
            ("\"\"", None),
            ("unknown", None),
            ("_gazonk", None),
            ("example.com:80", None),
        ] {
            let found = address_in(element).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{element}");
        }
    }

    #[test]
    fn a_forgotten_proxy_is_told_from_a_stranger() {
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"));
        for (peer, expected) in [
            ("172.18.0.3", true),
            ("192.168.1.1", true),
            ("127.0.0.1", true),
            ("100.64.0.1", true),
            ("169.254.3.4", true),
            ("fd00::1", true),
            ("::1", true),
            ("fe80::1", true),
            ("::ffff:192.168.1.1", true),
            ("10.0.0.1", false),
            ("203.0.113.9", false),
            ("100.128.0.1", false),
            ("2001:db8::1", false),
        ] {
            let peer: IpAddr = peer.parse().unwrap();
            assert_eq!(
                is_forgotten(peer.to_canonical(), &headers, &trusted),
                expected,
                "{peer}"
            );
            assert!(!is_forgotten(peer, &HeaderMap::new(), &trusted), "{peer}");
        }
    }
}
