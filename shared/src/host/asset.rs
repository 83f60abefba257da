//! Answers that are the same for all clients, made once.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

/// Caches may keep it, and ask each time whether it is still the same: another program has others.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The bytes of an answer, with the tag of this version of them (RFC 9110, 8.8.3).
#[derive(Clone, Debug)]
pub(super) struct Asset {
    content_type: HeaderValue,
    tag: HeaderValue,
    bytes: Bytes,
}

impl Asset {
    /// The tag follows from the bytes, so that it is the same in every replica.
    pub(super) fn new(content_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let hash = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &bytes));
        let value = |text: &str| HeaderValue::from_str(text).ok();
        Self {
            content_type: value(content_type)
                .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")),
            // Letters and digits of an alphabet without spaces or quotes are a header.
            tag: value(&format!("\"{hash}\"")).unwrap_or_else(|| HeaderValue::from_static("\"\"")),
            bytes,
        }
    }

    /// The answer to a request with these headers: the bytes, or 304 where the client has them.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let headers = [
            (header::ETAG, self.tag.clone()),
            (header::CACHE_CONTROL, REVALIDATE),
        ];
        if self.is_known_to(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type.clone())];
        (headers, content_type, Body::from(self.bytes.clone())).into_response()
    }

    /// Whether `If-None-Match` names this version, strongly or weakly (RFC 9110, 13.1.2).
    fn is_known_to(&self, request: &HeaderMap) -> bool {
        let fields = request.get_all(header::IF_NONE_MATCH).into_iter();
        let mut tags = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
        tags.any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.tag.as_bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(asset: &Asset, if_none_match: &[&str]) -> StatusCode {
        let mut headers = HeaderMap::new();
        for field in if_none_match {
            headers.append(header::IF_NONE_MATCH, field.parse().unwrap());
        }
        asset.answer(&headers).status()
    }

    #[test]
    fn a_client_that_has_this_version_is_sent_nothing() {
        let asset = Asset::new("text/plain", "a text");
        let tag = asset.tag.to_str().unwrap();
        let weak = format!("W/{tag}");
        let several = format!("\"another\" , {tag}");
        for known in [&[tag][..], &["*"], &[&weak], &[&several], &["\"another\"", tag]] {
            assert_eq!(status(&asset, known), StatusCode::NOT_MODIFIED, "{known:?}");
        }
        for unknown in [&[][..], &[""], &["\"another\""], &["nonsense"], &["\"\""]] {
            assert_eq!(status(&asset, unknown), StatusCode::OK, "{unknown:?}");
        }
    }

    #[test]
    fn other_bytes_have_another_tag() {
        let [one, same, other] = ["a", "a", "b"].map(|text| Asset::new("text/plain", text).tag);
        assert_eq!(one, same);
        assert_ne!(one, other);
    }
}
