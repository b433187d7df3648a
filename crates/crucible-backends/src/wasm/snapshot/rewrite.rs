//! Makes modules of an interpreter's module: one that stops when it is initialised, and one that goes on from there.
//!
//! Everything that isn't named here is carried over byte by byte, but for what debuggers would read.

use super::Recipe;
use super::order::{ARGUMENT, BOX, FILE};
use std::ops::Range;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, Encode, ExportKind, ExportSection, GlobalSection, GlobalType,
    Instruction, MemorySection, MemoryType, RawSection, ValType,
};
use wasmparser::{BinaryReaderError, ExternalKind, FunctionBody, Parser, Payload};

/// What the functions and the stack pointer are called in the module that stops.
pub(super) const RUN_TEXT: &str = "crucible:run-text";
pub(super) const INTERPRETER: &str = "crucible:interpreter";
pub(super) const SETTINGS: &str = "crucible:settings";
pub(super) const STACK: &str = "crucible:stack";

/// The global with the pointer to the C stack: the only one that clang makes for a program of one module.
const STACK_POINTER: u32 = 0;
const PAGE: usize = 64 << 10;
/// Memory is kept by pieces of this size, where there is anything in one.
const PIECE: usize = 4096;

/// An interpreter that is initialised.
pub(super) struct State {
    pub(super) memory: Vec<u8>,
    pub(super) stack_pointer: i32,
    /// Where the box for orders is.
    pub(super) order_box: i32,
    /// What is called to begin.
    pub(super) begin: i32,
    /// What is called before it ends.
    pub(super) finish: i32,
    /// Where the text is that names the file.
    pub(super) file: i32,
    /// Where the text is that is the program's first argument.
    pub(super) argument: i32,
}

/// Which module is made.
#[derive(Clone, Copy)]
pub(super) enum Stage<'a> {
    /// It traps when it is initialised, before it looks for its program.
    Stops,
    /// It goes on from there.
    GoesOn(&'a State),
}

/// Why a module can't be made.
pub(super) type Problem = String;

fn broken(error: BinaryReaderError) -> Problem {
    format!("the module can't be read: {error}")
}

/// Makes the module.
pub(super) fn rewrite(module: &[u8], recipe: &Recipe, stage: Stage<'_>) -> Result<Vec<u8>, Problem> {
    let mut made = wasm_encoder::Module::new();
    let (mut code, mut left) = (CodeSection::new(), 0);
    let bytes = |range: Range<usize>| module.get(range).ok_or_else(|| "the module is cut off".to_owned());
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(broken)?;
        match (&payload, stage) {
            (Payload::CustomSection(_), _) => {}
            (Payload::CodeSectionStart { count, .. }, _) => left = *count,
            (Payload::CodeSectionEntry(body), _) => {
                code.raw(&function(module, body, recipe, stage)?);
                left -= 1;
                if left == 0 {
                    made.section(&code);
                }
            }
            (Payload::ExportSection(exports), _) => {
                let mut section = ExportSection::new();
                for export in exports.clone() {
                    let export = export.map_err(broken)?;
                    section.export(export.name, kind(export.kind)?, export.index);
                }
                more_exports(&mut section, recipe, stage);
                made.section(&section);
            }
            (Payload::MemorySection(_), Stage::GoesOn(state)) => {
                let minimum = u64::try_from(state.memory.len() / PAGE).unwrap_or(u64::MAX);
                let memory =
                    MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None };
                made.section(MemorySection::new().memory(memory));
            }
            (Payload::GlobalSection(globals), Stage::GoesOn(state)) => {
                if globals.count() != 1 {
                    return Err("the module has other globals than its stack pointer".to_owned());
                }
                let mut section = GlobalSection::new();
                let values = [state.stack_pointer, state.order_box, state.file, state.argument];
                for (index, value) in values.into_iter().enumerate() {
                    let mutable = index == 0;
                    let kind = GlobalType { val_type: ValType::I32, mutable, shared: false };
                    section.global(kind, &ConstExpr::i32_const(value));
                }
                made.section(&section);
            }
            (Payload::DataSection(_), Stage::GoesOn(state)) => {
                made.section(&data(&state.memory));
            }
            (Payload::DataCountSection { .. }, _) => return Err("the module has passive data".to_owned()),
            (other, _) => {
                if let Some((id, range)) = other.as_section() {
                    made.section(&RawSection { id, data: bytes(range)? });
                }
            }
        }
    }
    Ok(made.finish())
}

fn kind(kind: ExternalKind) -> Result<ExportKind, Problem> {
    match kind {
        ExternalKind::Func => Ok(ExportKind::Func),
        ExternalKind::Table => Ok(ExportKind::Table),
        ExternalKind::Memory => Ok(ExportKind::Memory),
        ExternalKind::Global => Ok(ExportKind::Global),
        _ => Err("the module exports what isn't known".to_owned()),
    }
}

fn more_exports(section: &mut ExportSection, recipe: &Recipe, stage: Stage<'_>) {
    match stage {
        Stage::Stops => {
            section.export(RUN_TEXT, ExportKind::Func, recipe.run_text);
            section.export(INTERPRETER, ExportKind::Func, recipe.interpreter);
            section.export(SETTINGS, ExportKind::Func, recipe.settings);
            section.export(STACK, ExportKind::Global, STACK_POINTER);
        }
        Stage::GoesOn(_) => {
            for (name, index) in [BOX, FILE, ARGUMENT].into_iter().zip(1..) {
                section.export(name, ExportKind::Global, index);
            }
        }
    }
}

/// A function's locals and instructions, as they are to be.
fn function(module: &[u8], body: &FunctionBody<'_>, recipe: &Recipe, stage: Stage<'_>) -> Result<Vec<u8>, Problem> {
    let bytes = |range: Range<usize>| module.get(range).ok_or_else(|| "the module is cut off".to_owned());
    let whole = body.range();
    let [from, to] = recipe.run;
    if !whole.contains(&from) {
        let mut kept = Vec::new();
        let mut at = whole.start;
        if let Stage::GoesOn(state) = stage {
            if whole.contains(&recipe.finish) {
                kept.extend_from_slice(bytes(at..recipe.finish)?);
                at = recipe.finish;
                call(recipe, state.finish).iter().for_each(|instruction| instruction.encode(&mut kept));
                Instruction::Drop.encode(&mut kept);
            }
            for [from, to] in recipe.leave_out.iter().filter(|[from, _]| whole.contains(from)) {
                kept.extend_from_slice(bytes(at..*from)?);
                at = *to;
            }
        }
        kept.extend_from_slice(bytes(at..whole.end)?);
        return Ok(kept);
    }
    let state = match stage {
        Stage::Stops => {
            let mut stops = bytes(whole.start..from)?.to_vec();
            Instruction::Unreachable.encode(&mut stops);
            stops.extend_from_slice(bytes(from..whole.end)?);
            return Ok(stops);
        }
        Stage::GoesOn(state) => state,
    };
    let locals = whole.start..body.get_operators_reader().map_err(broken)?.original_position();
    let mut goes_on = bytes(locals)?.to_vec();
    let or_trap = [Instruction::I32Eqz, Instruction::If(BlockType::Empty), Instruction::Unreachable, Instruction::End];
    let end = [
        Instruction::Call(recipe.at_exit),
        Instruction::LocalGet(recipe.exit_code),
        Instruction::If(BlockType::Empty),
        Instruction::LocalGet(recipe.exit_code),
        Instruction::Call(recipe.exit),
        Instruction::End,
        Instruction::End,
    ];
    call(recipe, state.begin).iter().chain(&or_trap).for_each(|instruction| instruction.encode(&mut goes_on));
    goes_on.extend_from_slice(bytes(from..to)?);
    end.iter().for_each(|instruction| instruction.encode(&mut goes_on));
    Ok(goes_on)
}

/// Calls an object with itself. What it gives is on the stack then.
fn call(recipe: &Recipe, object: i32) -> [Instruction<'static>; 3] {
    [Instruction::I32Const(object), Instruction::I32Const(object), Instruction::Call(recipe.call)]
}

/// All of a memory that isn't zero.
fn data(memory: &[u8]) -> DataSection {
    let mut section = DataSection::new();
    let mut add = |place: usize, content: &[u8]| {
        // A memory's addresses are unsigned, and constants aren't.
        let place = u32::try_from(place).unwrap_or(u32::MAX).cast_signed();
        section.active(0, &ConstExpr::i32_const(place), content.iter().copied());
    };
    let mut begin = None;
    for (index, piece) in memory.chunks(PIECE).enumerate() {
        let is_empty = piece.iter().all(|byte| *byte == 0);
        match begin {
            Some(from) if is_empty => {
                add(from, memory.get(from..index * PIECE).unwrap_or_default());
                begin = None;
            }
            None if !is_empty => begin = Some(index * PIECE),
            _ => {}
        }
    }
    if let Some(from) = begin {
        add(from, memory.get(from..).unwrap_or_default());
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::engine::engine;
    use crate::wasm::runtimes;
    use crate::wasm::self_test::EXITS_WITH_7;
    use wasmtime::Module;

    fn state(memory: Vec<u8>) -> State {
        State { memory, stack_pointer: 1024, order_box: 1, begin: 2, finish: 3, file: 4, argument: 5 }
    }

    #[test]
    fn a_module_that_a_recipe_was_not_made_for_is_refused_by_the_engine() {
        let recipe = runtimes::known().unwrap().remove("python-wasm").unwrap().snapshot.unwrap();
        let engine = engine(1 << 20).unwrap();
        let stops = rewrite(EXITS_WITH_7, &recipe, Stage::Stops).unwrap();
        assert!(Module::new(&engine, stops).is_err());
        // It has no global at all, to which the box's place could be added.
        let goes_on = rewrite(EXITS_WITH_7, &recipe, Stage::GoesOn(&state(vec![0; PAGE]))).unwrap();
        assert!(Module::new(&engine, goes_on).is_err());
        for cut in [0, 5, 20, EXITS_WITH_7.len() - 3] {
            let cut = EXITS_WITH_7.get(..cut).unwrap();
            assert!(rewrite(cut, &recipe, Stage::Stops).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn a_memory_is_kept_by_its_pieces_that_are_not_zero() {
        let mut memory = vec![0; PAGE];
        for place in [PIECE, 2 * PIECE + 7, 5 * PIECE, PAGE - 1] {
            *memory.get_mut(place).unwrap() = 9;
        }
        assert_eq!(data(&memory).len(), 3);
        assert!(data(&vec![0; PAGE]).is_empty());
        assert_eq!(data(&vec![1; PAGE]).len(), 1);
    }
}
