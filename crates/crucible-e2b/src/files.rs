//! Files, whole: downloaded and uploaded.

use crate::E2b;
use crate::control::Refused;
use crate::opened::{Opened, Unreachable};
use crate::process::place;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_core::GuestPath;
use crucible_engine::Executable;
use futures_util::TryStreamExt as _;
use multer::Multipart;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Cursor;
use std::time::Duration;
use tokio_util::io::ReaderStream;

/// For how long the rest of an upload is taken that nobody wants any more.
const REST: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    path: Option<String>,
    username: Option<String>,
    signature: Option<String>,
}

fn wrong(message: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, message)
}

fn check(place: &Place) -> Result<(), Refused> {
    if place.signature.is_some() {
        return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, "signed addresses of files aren't made here"));
    }
    match place.username.as_deref() {
        None | Some("user") => Ok(()),
        Some(name) => Err(wrong(format!("username: files belong to the sandbox's own user, not to {name:?}"))),
    }
}

fn parse(path: &str) -> Result<GuestPath, Refused> {
    place(path).map_err(|_| wrong(format!("path: {path:?} is no path in a sandbox")))
}

/// Reads a file.
pub(crate) async fn download(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Query(asked): Query<Place>,
) -> Result<Response, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    let read = async {
        check(&asked)?;
        let path = parse(asked.path.as_deref().unwrap_or_default())?;
        Ok::<_, Refused>(opened.session.read_file(&path).await?)
    };
    Ok(match read.await {
        Ok(content) => {
            let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
            (headers, Body::from_stream(ReaderStream::new(content.bytes))).into_response()
        }
        Err(refused) => refused.into_response(),
    })
}

/// Writes files: one as the whole body, or any number as parts of a form.
pub(crate) async fn upload(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Query(asked): Query<Place>,
    body: Body,
) -> Result<Response, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    Ok(match take(&opened, &headers, &asked, body).await {
        Ok(written) => Json(written).into_response(),
        Err(refused) => refused.into_response(),
    })
}

async fn take(opened: &Opened, headers: &HeaderMap, asked: &Place, body: Body) -> Result<Vec<Value>, Refused> {
    let most = opened.session.limits().disk;
    let bytes = whole(body, most.as_usize()).await?.ok_or_else(|| {
        Refused::new(StatusCode::INSUFFICIENT_STORAGE, format!("the upload is larger than the disk limit of {most}"))
    })?;
    check(asked)?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed uploads aren't taken here"));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Ok(boundary) = multer::parse_boundary(kind) else {
        let path = asked.path.as_deref().ok_or_else(|| wrong("path: it is missing"))?;
        return Ok(vec![write(opened, path, bytes.to_vec()).await?]);
    };
    let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    let mut form = Multipart::new(whole, boundary);
    let mut written = Vec::new();
    let broken = |error: multer::Error| wrong(format!("the form can't be read: {error}"));
    while let Some(part) = form.next_field().await.map_err(broken)? {
        let name = part.file_name().map(str::to_owned);
        let path = asked.path.clone().or(name).ok_or_else(|| wrong("a part of the form has no file name"))?;
        let content = part.bytes().await.map_err(broken)?;
        written.push(write(opened, &path, content.to_vec()).await?);
    }
    Ok(written)
}

/// All of a body; `None` where it has more bytes than are wanted. The rest is then taken and not kept, for a while: a sender that is
/// cut off in the middle never hears the answer, and uses the broken connection for what comes next.
async fn whole(body: Body, most: usize) -> Result<Option<Bytes>, Refused> {
    let broken = |_| wrong("the upload is broken off");
    let (mut body, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(piece) = body.try_next().await.map_err(broken)? {
        if bytes.len() + piece.len() > most {
            drop(bytes);
            let rest = async { while let Ok(Some(_)) = body.try_next().await {} };
            let _taken = tokio::time::timeout(REST, rest).await.is_ok();
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(Bytes::from(bytes)))
}

async fn write(opened: &Opened, path: &str, content: Vec<u8>) -> Result<Value, Refused> {
    let path = parse(path)?;
    opened.session.write_file(&path, Box::new(Cursor::new(content)), Executable::No).await?;
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    Ok(json!({"name": name, "type": "file", "path": path.as_str()}))
}
