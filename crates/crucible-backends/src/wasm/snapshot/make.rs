//! Makes a snapshot: initialises an interpreter as for a program that isn't there, stops it before it looks for that, has it
//! prepare itself, and takes its memory.
//!
//! It runs in a jailed worker that has nothing but the interpreter's module.

use super::Recipe;
use super::order::{BEGIN, FINISH, LONGEST_NAME, MARK_BYTES, MEMORY, mark, wide};
use super::rewrite::{INTERPRETER, RUN_TEXT, SETTINGS, STACK, Stage, State, rewrite};
use wasmtime::{AsContext, AsContextMut, Engine, Error, Instance, Linker, Memory, Module, Result, Store, Trap};

/// What the interpreter does before its memory is taken.
pub(super) const PREPARE: &str = include_str!("prepare.py");

/// Where that text is put: at the lower end of the C stack, which is empty when nothing is called.
const TEXT: usize = 1024;
/// What is called first.
const START: &str = "_start";

fn problem(message: impl Into<String>) -> Error {
    Error::msg(message.into())
}

/// The arguments that an interpreter is initialised with: a file's name that is as long as one can be, so that there is room
/// for any other one in its place.
pub(crate) fn arguments(program: &str) -> [String; 2] {
    let mut name = "/".to_owned();
    name.extend(std::iter::repeat_n('p', LONGEST_NAME));
    [program.to_owned(), name]
}

/// Makes the module that goes on from a snapshot. The linker has what the interpreter imports, and the store's WASI the
/// interpreter's [`arguments`] and variables.
pub(crate) async fn make<T: Send + 'static>(
    engine: &Engine,
    linker: &Linker<T>,
    store: &mut Store<T>,
    module: &[u8],
    recipe: &Recipe,
) -> Result<Vec<u8>> {
    let stops = Module::new(engine, rewrite(module, recipe, Stage::Stops).map_err(problem)?)?;
    let instance = linker.instantiate_async(&mut *store, &stops).await?;
    let started = instance.get_typed_func::<(), ()>(&mut *store, START)?.call_async(&mut *store, ()).await;
    match started.as_ref().map_err(Error::downcast_ref::<Trap>) {
        Err(Some(Trap::UnreachableCodeReached)) => {}
        Ok(()) => return Err(problem("the interpreter ended while it was initialised")),
        Err(_) => return Err(started.err().unwrap_or_else(|| problem("the interpreter was lost"))),
    }
    let state = state(&instance, store, recipe).await?;
    rewrite(module, recipe, Stage::GoesOn(&state)).map_err(problem)
}

async fn state<T: Send + 'static>(instance: &Instance, store: &mut Store<T>, recipe: &Recipe) -> Result<State> {
    let memory = instance.get_memory(&mut *store, MEMORY).ok_or_else(|| problem("the module has no memory"))?;
    let interpreter = instance.get_typed_func::<(), i32>(&mut *store, INTERPRETER)?;
    let settings = instance.get_typed_func::<i32, i32>(&mut *store, SETTINGS)?;
    let interpreter = interpreter.call_async(&mut *store, ()).await?;
    let settings = address(settings.call_async(&mut *store, interpreter).await?)?;
    let file = pointer(&memory, &*store, settings + usize::try_from(recipe.file_name)?)?;
    let list = settings + usize::try_from(recipe.arguments)?;
    let argument = pointer(&memory, &*store, list + 4)?;
    let argument = pointer(&memory, &*store, address(argument)?)?;
    let [_, name] = arguments("");
    let expected = wide(&name);
    for place in [file, argument] {
        let place = address(place)?;
        if memory.data(&*store).get(place..place + expected.len()) != Some(&expected) {
            return Err(problem("the interpreter isn't where it was expected to be"));
        }
    }
    prepare(instance, &memory, store).await?;

    let stack_pointer = instance.get_global(&mut *store, STACK).and_then(|global| global.get(&mut *store).i32());
    let stack_pointer = stack_pointer.ok_or_else(|| problem("the module has no stack"))?;
    // What calls have left there.
    memory.data_mut(&mut *store).get_mut(TEXT..address(stack_pointer)?).unwrap_or_default().fill(0);
    let content = memory.data(&*store).to_vec();
    let mark = mark();
    let mut found = content.windows(MARK_BYTES).enumerate().filter(|(_, bytes)| *bytes == mark).map(|(at, _)| at);
    let (Some(place), None) = (found.next(), found.next()) else {
        return Err(problem("the box for orders can't be found"));
    };
    drop(found);
    let begin = pointer(&memory, &*store, place + BEGIN)?;
    let finish = pointer(&memory, &*store, place + FINISH)?;
    Ok(State { memory: content, stack_pointer, order_box: i32::try_from(place)?, begin, finish, file, argument })
}

async fn prepare<T: Send + 'static>(instance: &Instance, memory: &Memory, store: &mut Store<T>) -> Result<()> {
    let text = [PREPARE.as_bytes(), b"\0"].concat();
    memory.write(store.as_context_mut(), TEXT, &text)?;
    let run = instance.get_typed_func::<(i32, i32), i32>(&mut *store, RUN_TEXT)?;
    match run.call_async(&mut *store, (i32::try_from(TEXT)?, 0)).await? {
        0 => Ok(()),
        _ => Err(problem("the interpreter can't prepare itself")),
    }
}

fn address(pointer: i32) -> Result<usize> {
    Ok(usize::try_from(pointer.cast_unsigned())?)
}

fn pointer(memory: &Memory, store: impl AsContext, place: usize) -> Result<i32> {
    let bytes = memory.data(&store).get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
    Ok(i32::from_le_bytes(bytes.ok_or_else(|| problem("an address lies outside of the memory"))?))
}
