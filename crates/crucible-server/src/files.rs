//! Files of a sandbox: read, written, listed, removed. None is held in memory.

use crate::path::Id;
use crate::problem::Problem;
use crate::{Caller, SandboxService};
use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_api::v1::FileList;
use crucible_core::{ErrorKind, GuestPath, Role};
use crucible_engine::{Executable, Session};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::io::{ReaderStream, StreamReader};

/// How many bytes of a file are sent at a time.
const PIECE: usize = 64 << 10;
/// For how long the rest of a body is taken that nobody wants any more, so that its sender hears why.
const REST: Duration = Duration::from_secs(30);

/// Which file.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Place {
    /// Where: below the work folder, or absolute.
    path: String,
    /// Whether a file that is written may be executed.
    #[serde(default)]
    executable: bool,
}

type Asked = Result<Query<Place>, QueryRejection>;

fn find(
    service: &SandboxService,
    caller: &Caller,
    id: &str,
    asked: Asked,
) -> Result<(Arc<Session>, GuestPath, Executable), Problem> {
    let Query(Place { path, executable }) = asked?;
    let session = service.find(caller, id)?;
    let executable = if executable { Executable::Yes } else { Executable::No };
    Ok((session, GuestPath::parse(&path)?, executable))
}

/// A file's bytes, or what is in a folder as JSON.
/// Read a file, or list a folder
#[utoipa::path(get, path = "/v1/sandboxes/{id}/files", tag = "sandboxes", params(("id" = String, Path, description = "Its id"), Place),
    responses((status = 200, description = "A file's bytes, or what is in a folder", content((Vec<u8> = "application/octet-stream"), (FileList = "application/json")))))]
pub(crate) async fn read(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
    asked: Asked,
) -> Result<Response, Problem> {
    let (session, path, _) = find(&service, &caller, &id, asked)?;
    match session.read_file(&path).await {
        Ok(content) => {
            let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
            // No length is promised: the file may grow or shrink while it is read.
            Ok((headers, Body::from_stream(ReaderStream::with_capacity(content.bytes, PIECE))).into_response())
        }
        Err(error) if error.kind() == ErrorKind::Refused => match session.list_files(&path).await {
            Ok(entries) => {
                let entries = entries.into_iter().map(Into::into).collect();
                Ok(Json(FileList { entries }).into_response())
            }
            Err(_) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Puts a file in.
/// Write a file
#[utoipa::path(put, path = "/v1/sandboxes/{id}/files", tag = "sandboxes", params(("id" = String, Path, description = "Its id"), Place), request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 204, description = "It is written")))]
pub(crate) async fn write(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
    asked: Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    caller.needs(Role::Submitter)?;
    let (session, path, executable) = find(&service, &caller, &id, asked)?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let most = session.limits().disk;
    if length.is_some_and(|length| length > most.get()) {
        return Err(Problem::too_large(format!("the file is larger than the sandbox's disk limit of {most}")));
    }
    // The body comes by a channel, so that what is left of it can still be taken when the file couldn't.
    let (sender, pieces) = tokio::sync::mpsc::channel(2);
    let content = StreamReader::new(receiving(pieces));
    let writing = session.write_file(&path, Box::new(Box::pin(content)), executable);
    let mut body = body.into_data_stream();
    let giving = async {
        let sender = sender;
        while let Some(piece) = body.next().await {
            let broke_off = piece.is_err();
            if sender.send(Some(piece.map_err(io::Error::other))).await.is_err() || broke_off {
                return;
            }
        }
        // Whoever isn't there to take it has failed already.
        let _ = sender.send(None).await;
    };
    let (written, ()) = tokio::join!(writing, giving);
    if let Err(error) = written {
        take_the_rest(body).await;
        return Err(error.into());
    }
    Ok(StatusCode::NO_CONTENT)
}

type Piece = io::Result<axum::body::Bytes>;

/// The pieces of a body until its end is told. Where that never is, because its sender went away and took this request's
/// future along, the body has broken off: half a file must not be taken for a whole one.
fn receiving(pieces: tokio::sync::mpsc::Receiver<Option<Piece>>) -> impl futures_util::Stream<Item = Piece> {
    futures_util::stream::unfold(pieces, |mut pieces| async move {
        match pieces.recv().await {
            Some(piece) => piece.map(|piece| (piece, pieces)),
            None => Some((Err(io::ErrorKind::UnexpectedEof.into()), pieces)),
        }
    })
}

/// A sender that is cut off in the middle may never hear the answer.
async fn take_the_rest(mut body: BodyDataStream) {
    let _ = tokio::time::timeout(REST, async { while let Ok(Some(_)) = body.try_next().await {} }).await;
}

/// Removes a file, a link or an empty folder.
/// Remove a file, a link or an empty folder
#[utoipa::path(delete, path = "/v1/sandboxes/{id}/files", tag = "sandboxes", params(("id" = String, Path, description = "Its id"), Place),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn remove(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
    asked: Asked,
) -> Result<StatusCode, Problem> {
    caller.needs(Role::Submitter)?;
    let (session, path, _) = find(&service, &caller, &id, asked)?;
    session.remove_file(&path).await?;
    Ok(StatusCode::NO_CONTENT)
}
