//! Files of an open sandbox. Paths are the sandbox's own: there is no way here to name one of the host.

use super::unless_cancelled;
use crate::arguments::{ListFiles, OneFile, ReadFile, WriteFile, wrong};
use crate::bound::few;
use crate::results::{ListResult, ReadResult, RemovedResult, WrittenResult};
use crate::server::{Call, Whole};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_core::{Error, ErrorKind, GuestPath, Result};
use crucible_engine::Executable;
use std::io::Cursor;
use tokio::io::{AsyncReadExt as _, sink};

/// The most entries of a folder that a model is given.
const MOST_ENTRIES: usize = 1000;

fn path(text: &str) -> Result<GuestPath> {
    GuestPath::parse(text).map_err(|error| wrong(format!("path: {error}")))
}

/// Reads a part of one.
pub(super) async fn read(mcp: &Whole, given: ReadFile, call: &Call) -> Result<ReadResult> {
    let ReadFile { sandbox_id, path: text, offset_bytes, max_bytes } = given;
    let session = mcp.sandboxes.find(&call.caller, &sandbox_id)?;
    let path = path(&text)?;
    let most = u64::try_from(mcp.parts.bounds.most_output).unwrap_or(u64::MAX);
    let wanted = max_bytes.unwrap_or(most);
    if wanted == 0 || wanted > most {
        return Err(wrong(format!("max_bytes: {wanted} is outside 1 to {most}")));
    }
    let work = async {
        let mut content = session.read_file(&path).await?;
        let broken = |error: std::io::Error| {
            Error::new(ErrorKind::Io, "read a file of the sandbox", "the file can't be read").with_source(error)
        };
        let skipped =
            tokio::io::copy(&mut (&mut content.bytes).take(offset_bytes), &mut sink()).await.map_err(broken)?;
        let mut bytes = Vec::new();
        (&mut content.bytes).take(wanted).read_to_end(&mut bytes).await.map_err(broken)?;
        Ok((content.size, skipped, bytes))
    };
    let (size, skipped, mut bytes) = unless_cancelled(call, work).await?;
    if skipped < offset_bytes {
        return Err(wrong(format!("offset_bytes: {offset_bytes} is beyond the file's end at {skipped}")));
    }
    let is_cut = skipped.saturating_add(length(&bytes)) < size;
    let content = match std::str::from_utf8(&bytes) {
        Ok(text) => Some(text.to_owned()),
        // A part may end within a character, which then belongs to the next one.
        Err(error) if is_cut && error.error_len().is_none() && error.valid_up_to() > 0 => {
            bytes.truncate(error.valid_up_to());
            String::from_utf8(bytes.clone()).ok()
        }
        Err(_) => None,
    };
    let end = skipped.saturating_add(length(&bytes));
    Ok(ReadResult {
        path: path.to_string(),
        size,
        offset_bytes,
        bytes: length(&bytes),
        content_base64: content.is_none().then(|| STANDARD.encode(&bytes)),
        content,
        next_offset_bytes: (end < size).then_some(end),
    })
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Writes one.
pub(super) async fn write(mcp: &Whole, given: WriteFile, call: &Call) -> Result<WrittenResult> {
    let WriteFile { sandbox_id, path: text, content, content_base64, executable } = given;
    let session = mcp.sandboxes.find(&call.caller, &sandbox_id)?;
    let path = path(&text)?;
    let content = match (content, content_base64) {
        (Some(_), Some(_)) => return Err(wrong("there are both content and content_base64")),
        (None, None) => return Err(wrong("there is neither content nor content_base64")),
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => STANDARD.decode(text).map_err(|_| wrong("content_base64: it isn't base64"))?,
    };
    let size = length(&content);
    let executable = if executable { Executable::Yes } else { Executable::No };
    unless_cancelled(call, session.write_file(&path, Box::new(Cursor::new(content)), executable)).await?;
    Ok(WrittenResult { path: path.to_string(), size })
}

/// Lists a folder.
pub(super) async fn list(mcp: &Whole, given: ListFiles, call: &Call) -> Result<ListResult> {
    let session = mcp.sandboxes.find(&call.caller, &given.sandbox_id)?;
    let path = given.path.as_deref().map_or_else(|| Ok(GuestPath::work()), path)?;
    let entries = unless_cancelled(call, session.list_files(&path)).await?;
    let (entries, left_out) = few(entries, MOST_ENTRIES);
    Ok(ListResult { path: path.to_string(), entries: entries.into_iter().map(Into::into).collect(), left_out })
}

/// Removes one.
pub(super) async fn remove(mcp: &Whole, given: OneFile, call: &Call) -> Result<RemovedResult> {
    let session = mcp.sandboxes.find(&call.caller, &given.sandbox_id)?;
    let path = path(&given.path)?;
    unless_cancelled(call, session.remove_file(&path)).await?;
    Ok(RemovedResult { path: path.to_string() })
}
