//! What a run tells the interpreter in a snapshot: its arguments, its variables and its file, written into the memory of an
//! instance before that goes on.
//!
//! The places are the module's own exports, so that compiled code is all there is to a snapshot.

use wasmtime::{AsContextMut, Error, Instance, Result};

/// The box that the interpreter takes its arguments and variables from.
pub(super) const BOX: &str = "crucible:box";
/// The text that names the file to run.
pub(super) const FILE: &str = "crucible:file";
/// The text that is the program's first argument.
pub(super) const ARGUMENT: &str = "crucible:argument";
/// The only memory's name.
pub(super) const MEMORY: &str = "memory";

/// What [`super::make::PREPARE`] makes of the box: a mark, the objects to call at the beginning and at
/// the end, the length of an order, and its room.
pub(super) const MARK_BYTES: usize = 32;
pub(super) const BEGIN: usize = 32;
pub(super) const FINISH: usize = 36;
const LENGTH: usize = 40;
const ORDER: usize = 44;
const ROOM: usize = 64 << 10;
/// The most characters of a file's name, together with the folder that it is in.
pub(super) const LONGEST_NAME: usize = 1000;

/// What the box is found by.
pub(super) fn mark() -> [u8; MARK_BYTES] {
    std::array::from_fn(|at| u8::try_from((at * 37 + 11) & 255).unwrap_or_default())
}

/// Whether there is room for it.
pub(super) fn fits(arguments: &[String], variables: &[(String, String)]) -> bool {
    let bytes = |text: &String| text.len() + 1;
    let all = arguments.iter().map(bytes).sum::<usize>()
        + variables.iter().map(|(name, value)| bytes(name) + bytes(value)).sum::<usize>();
    // The number of variables comes first.
    let is_short = arguments.get(1).is_some_and(|file| file.chars().count() + 2 <= LONGEST_NAME);
    let is_text = !arguments.iter().any(|text| text.contains('\0'));
    is_short && is_text && all + 16 <= ROOM
}

/// Writes an order, which [`fits`].
pub(crate) fn give(
    instance: &Instance,
    mut store: impl AsContextMut,
    arguments: &[String],
    variables: &[(String, String)],
) -> Result<()> {
    let mut place = |name: &str| -> Result<usize> {
        let global = instance.get_global(&mut store, name).and_then(|global| global.get(&mut store).i32());
        let place = global.ok_or_else(|| Error::msg(format!("the snapshot doesn't say where {name} is")))?;
        Ok(usize::try_from(place.cast_unsigned())?)
    };
    let (order_box, file, argument) = (place(BOX)?, place(FILE)?, place(ARGUMENT)?);
    let name = arguments.get(1).map(String::as_str).unwrap_or_default();
    // As the interpreter makes a name absolute: the folder that it starts in, which is the root, a slash, and the name.
    let absolute = match name {
        "." => "/".to_owned(),
        name if name.starts_with('/') => name.to_owned(),
        name => format!("//{name}"),
    };
    let mut order = variables.len().to_string();
    for (name, value) in variables {
        order.extend(["\0", name, "=", value]);
    }
    for argument in arguments {
        order.extend(["\0", argument]);
    }
    let memory = instance.get_memory(&mut store, MEMORY).ok_or_else(|| Error::msg("the snapshot has no memory"))?;
    let length = u32::try_from(order.len())?;
    memory.write(&mut store, order_box + LENGTH, &length.to_le_bytes())?;
    memory.write(&mut store, order_box + ORDER, order.as_bytes())?;
    memory.write(&mut store, file, &wide(&absolute))?;
    memory.write(&mut store, argument, &wide(name))?;
    Ok(())
}

/// A text as the C library's wide characters, with its end.
pub(super) fn wide(text: &str) -> Vec<u8> {
    text.chars().chain(['\0']).flat_map(|char| u32::from(char).to_le_bytes()).collect()
}
