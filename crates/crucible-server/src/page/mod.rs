//! The page: a single-page application that is embedded in the binary where it was built, or read from a folder by whoever
//! develops it.
//!
//! Invariant: what is served is inert by its headers: no script, style or connection but the page's own. It needs no key,
//! since it holds nothing of anybody; what it shows comes by the interface, which asks for one. No file outside of the folder
//! is ever read.

mod embedded;
mod missing;

use crate::api::Api;
use crate::problem::{self, Problem};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use crucible_core::HostPath;
use embedded::Embedded;
use std::collections::BTreeMap;

/// What a browser lets the page do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
                      connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// The file that every place of the page is.
const INDEX: &str = "index.html";
/// Where files are whose names change with their content.
const HASHED: &str = "assets/";
/// The most bytes of a file in a folder.
const LARGEST: u64 = 32 << 20;
/// Places that are the interface's, where a browser gets no page.
const INTERFACE: [&str; 6] = ["v1", "docs", "openapi.json", "metrics", "healthz", "readyz"];

/// The page's files.
pub struct Page(Source);

enum Source {
    /// By name, each with its entity tag.
    Embedded(BTreeMap<&'static str, (&'static Embedded, String)>),
    /// As they are now in a folder.
    Folder(HostPath),
}

/// A file on its way out.
struct File {
    bytes: Body,
    encoding: Option<&'static str>,
    tag: Option<String>,
}

impl Page {
    /// What was built in.
    #[must_use]
    pub fn built_in() -> Self {
        let tagged =
            |file: &'static Embedded| (file.name, (file, format!("\"{}\"", &blake3::hash(file.plain).to_hex()[..32])));
        Self(Source::Embedded(embedded::FILES.iter().map(tagged).collect()))
    }

    /// What is in a folder, read anew for each request: for those who develop the page.
    #[must_use]
    pub const fn folder(path: HostPath) -> Self {
        Self(Source::Folder(path))
    }

    async fn find(&self, name: &str, headers: &HeaderMap) -> Option<File> {
        match &self.0 {
            Source::Embedded(files) => {
                let (file, tag) = files.get(name)?;
                let (bytes, encoding) = file.best(|wanted| takes(headers, wanted));
                let tag = encoding
                    .map_or_else(|| tag.clone(), |encoding| format!("{}-{encoding}\"", tag.trim_end_matches('"')));
                Some(File { bytes: bytes.into(), encoding, tag: Some(tag) })
            }
            Source::Folder(folder) => {
                let path = is_plain(name).then(|| folder.as_path().join(name))?;
                let about = tokio::fs::metadata(&path).await.ok()?;
                if !about.is_file() || about.len() > LARGEST {
                    return None;
                }
                let bytes = tokio::fs::read(&path).await.ok()?;
                Some(File { bytes: bytes.into(), encoding: None, tag: None })
            }
        }
    }
}

/// Whether a name stays below its folder, and names nothing that is hidden.
fn is_plain(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_known))
}

/// Whether a browser takes an encoding.
fn takes(headers: &HeaderMap, wanted: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let mut accepted = accepted.flat_map(|value| value.split(','));
    accepted.any(|one| {
        let (name, quality) = one.split_once(';').unwrap_or((one, ""));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|quality| quality.trim().parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case(wanted) && !refused
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn answer(name: &str, file: File, asked: &HeaderMap) -> Response {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known =
        file.tag.as_ref().is_some_and(|tag| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(file.bytes) };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    // A name below it is another one as soon as its content is.
    let is_lasting = name.starts_with(HASHED) && file.tag.is_some();
    let caching = if is_lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(encoding) = file.encoding.filter(|_| !is_known) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Some(tag) = file.tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Whether somebody looks for a page, and not for something of the interface.
fn wants_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let path = uri.path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    let is_page = accepts.is_some_and(|accepts| accepts.contains("text/html"));
    path.is_empty() || (is_page && !path.starts_with(HASHED) && !INTERFACE.contains(&first))
}

/// Whatever no other route answers: a file of the page, the page itself, or nothing.
pub(crate) async fn serve(State(api): State<Api>, request: Request) -> std::result::Result<Response, Problem> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let name = uri.path().trim_start_matches('/');
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if !is_read {
        return Err(problem::no_such_route(uri.clone()).await);
    }
    if let Some(file) = api.page.find(name, headers).await {
        return Ok(answer(name, file, headers));
    }
    if !wants_page(uri, headers) {
        return Err(problem::no_such_route(uri.clone()).await);
    }
    let index = api.page.find(INDEX, headers).await;
    Ok(answer(INDEX, index.unwrap_or_else(missing::page), headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_below_the_folder_are_names() {
        for good in ["index.html", "assets/a-B_1.js", "a/b/c.svg"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "../x", "a/../b", "/etc/passwd", ".git/config", "a//b", "a/.b", "a\\b", "a%2e", "a b", "ä"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn an_encoding_is_taken_where_it_is_asked_for_and_not_refused() {
        let takes = |accepted: &str, wanted: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(accepted).unwrap());
            super::takes(&headers, wanted)
        };
        assert!(takes("gzip, deflate, br", "br") && takes("br;q=0.5", "br") && takes("GZIP", "gzip"));
        assert!(!takes("gzip", "br") && !takes("br;q=0", "br") && !takes("", "gzip") && !takes("br; q=0.0", "br"));
    }

    #[test]
    fn a_page_is_for_those_who_look_for_one() {
        let wants = |path: &str, accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            wants_page(&path.parse().unwrap(), &headers)
        };
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        for page in ["/", "/evaluations/x", "/v2", "/admin/keys"] {
            assert!(wants(page, browser), "{page}");
        }
        for other in ["/v1/nothing", "/docs/x", "/assets/gone.js", "/openapi.json", "/v1"] {
            assert!(!wants(other, browser), "{other}");
        }
        assert!(!wants("/evaluations/x", "*/*") && wants("/", "*/*"));
    }
}
