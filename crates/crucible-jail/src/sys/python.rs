//! What of Python's stable interface the library for zygotes calls and is called by. It is part of no program of ours: Python
//! loads it, and finds the functions that it names here in itself.
//!
//! The declarations are those of the stable ABI, which is the same from Python 3.2 on, but not in builds without the global
//! lock: those load no such library.

use super::Forked;
use crate::launcher::Interpreter;
use rustix::io::Errno;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Any object.
#[repr(C)]
pub(crate) struct Object {
    _opaque: [u8; 0],
}

type Function = unsafe extern "C" fn(module: *mut Object, arguments: *mut Object) -> *mut Object;

/// `PyMethodDef`.
#[repr(C)]
struct Method {
    name: *const c_char,
    function: Option<Function>,
    flags: c_int,
    documentation: *const c_char,
}

/// `PyModuleDef`, with its `PyModuleDef_Base`.
#[repr(C)]
struct Module {
    references: isize,
    kind: *mut c_void,
    initialise: *mut c_void,
    index: isize,
    copy: *mut Object,
    name: *const c_char,
    documentation: *const c_char,
    size: isize,
    methods: *mut Method,
    slots: *mut c_void,
    traverse: *mut c_void,
    clear: *mut c_void,
    free: *mut c_void,
}

const ABI_VERSION: c_int = 3;
const VARIABLE_ARGUMENTS: c_int = 1;

unsafe extern "C" {
    #[link_name = "_Py_NoneStruct"]
    static mut NONE: Object;

    fn PyModule_Create2(definition: *mut Module, version: c_int) -> *mut Object;
    fn PyTuple_New(length: isize) -> *mut Object;
    fn PyTuple_SetItem(tuple: *mut Object, at: isize, item: *mut Object) -> c_int;
    fn PyTuple_GetItem(tuple: *mut Object, at: isize) -> *mut Object;
    fn PyList_New(length: isize) -> *mut Object;
    fn PyList_SetItem(list: *mut Object, at: isize, item: *mut Object) -> c_int;
    fn PyBytes_FromStringAndSize(bytes: *const c_char, length: isize) -> *mut Object;
    fn PyLong_AsLong(number: *mut Object) -> c_long;
    fn PyLong_FromLong(number: c_long) -> *mut Object;
    fn PyObject_CallObject(callable: *mut Object, arguments: *mut Object) -> *mut Object;
    fn PyErr_Restore(kind: *mut Object, value: *mut Object, traceback: *mut Object);
    fn PyErr_PrintEx(set_last: c_int);
    fn Py_IncRef(object: *mut Object);
    fn PyOS_BeforeFork();
    fn PyOS_AfterFork_Parent();
    fn PyOS_AfterFork_Child();
}

/// What runs a program: called with its arguments and its environment, each a list of bytes, and never returns.
static RUN: AtomicPtr<Object> = AtomicPtr::new(std::ptr::null_mut());
/// What is done ahead in a process that waits for its program: called with nothing.
static SETTLE: AtomicPtr<Object> = AtomicPtr::new(std::ptr::null_mut());

/// Makes the module. Python calls it by this name when it loads the library.
#[unsafe(no_mangle)]
extern "C" fn PyInit__crucible_zygote() -> *mut Object {
    let method = |name: &'static CStr, function: Function| Method {
        name: name.as_ptr(),
        function: Some(function),
        flags: VARIABLE_ARGUMENTS,
        documentation: std::ptr::null(),
    };
    let end = Method { name: std::ptr::null(), function: None, flags: 0, documentation: std::ptr::null() };
    let methods = Box::leak(Box::new([method(c"serve", serve), method(c"show", show), method(c"exit", exit), end]));
    let nothing = std::ptr::null_mut();
    let module = Box::leak(Box::new(Module {
        references: 1,
        kind: nothing,
        initialise: nothing,
        index: 0,
        copy: std::ptr::null_mut(),
        name: c"_crucible_zygote".as_ptr(),
        documentation: std::ptr::null(),
        size: -1,
        methods: methods.as_mut_ptr(),
        slots: nothing,
        traverse: nothing,
        clear: nothing,
        free: nothing,
    }));
    // SAFETY: the definition and its methods live for ever and have the layout of the stable ABI; Python calls this with its
    // lock held.
    unsafe { PyModule_Create2(module, ABI_VERSION) }
}

/// `serve(settle, run, guest_root)`: serves the supervisor until it hangs up, and gives the exit code.
unsafe extern "C" fn serve(_module: *mut Object, arguments: *mut Object) -> *mut Object {
    // SAFETY: Python gives a tuple, whose items it keeps for the length of the call; the functions are kept for ever.
    let guest_root = unsafe {
        for (at, place) in [(0, &SETTLE), (1, &RUN)] {
            let function = PyTuple_GetItem(arguments, at);
            if function.is_null() {
                return std::ptr::null_mut();
            }
            Py_IncRef(function);
            place.store(function, Ordering::Relaxed);
        }
        let number = PyTuple_GetItem(arguments, 2);
        if number.is_null() {
            return std::ptr::null_mut();
        }
        PyLong_AsLong(number)
    };
    let code = crate::zygote::serve(Interpreter { fork, settle, run }, u32::try_from(guest_root).unwrap_or(u32::MAX));
    // SAFETY: takes a number only.
    unsafe { PyLong_FromLong(c_long::from(code)) }
}

/// `show(type, value, traceback)`: prints an exception as Python does where none catches it.
unsafe extern "C" fn show(_module: *mut Object, arguments: *mut Object) -> *mut Object {
    // SAFETY: Python gives a tuple; what is restored is taken over, so that each is counted once more. No traceback is a null.
    unsafe {
        let item = |at| {
            let item = PyTuple_GetItem(arguments, at);
            if item.is_null() || std::ptr::eq(item, &raw const NONE) {
                return std::ptr::null_mut();
            }
            Py_IncRef(item);
            item
        };
        PyErr_Restore(item(0), item(1), item(2));
        PyErr_PrintEx(1);
        none()
    }
}

/// `exit(code, foreign)`: ends the process, without taking the interpreter apart. What C libraries registered for the end runs
/// only where `foreign` is true: nothing but taking themselves apart is done by those that every program finds there.
unsafe extern "C" fn exit(_module: *mut Object, arguments: *mut Object) -> *mut Object {
    // SAFETY: Python gives a tuple. What is registered for the end runs in this thread, as at any program's end; what isn't
    // written yet of C's own streams is written.
    unsafe {
        let number = |at| PyLong_AsLong(PyTuple_GetItem(arguments, at));
        let code = c_int::try_from(number(0)).unwrap_or(1);
        if number(1) != 0 {
            libc::exit(code);
        }
        libc::fflush(std::ptr::null_mut());
        libc::_exit(code)
    }
}

/// A new reference to `None`.
unsafe fn none() -> *mut Object {
    let none = &raw mut NONE;
    // SAFETY: it lives for ever.
    unsafe { Py_IncRef(none) };
    none
}

/// Forks as Python wants it done: with what it and its modules do around a fork.
fn fork() -> Result<Forked, Errno> {
    // SAFETY: this process has one thread, which holds Python's lock.
    unsafe { PyOS_BeforeFork() };
    let forked = super::fork();
    match forked {
        // SAFETY: as above, in a process that was forked just now.
        Ok(Forked::Child) => unsafe { PyOS_AfterFork_Child() },
        // SAFETY: as above.
        Ok(Forked::Parent { .. }) | Err(_) => unsafe { PyOS_AfterFork_Parent() },
    }
    forked
}

/// Has Python do what it can without a program. What goes wrong with that goes wrong with the program, too.
fn settle() {
    // SAFETY: the thread holds Python's lock. No arguments are a null.
    unsafe {
        if PyObject_CallObject(SETTLE.load(Ordering::Relaxed), std::ptr::null_mut()).is_null() {
            PyErr_PrintEx(0);
        }
    }
}

/// Has Python run a program.
fn run(argv: &[String], env: &[String]) -> ! {
    // SAFETY: the thread holds Python's lock; each new object is given away to the one that holds it, and a failure of any
    // call is one of the last, which prints why.
    unsafe {
        let list = |texts: &[String]| {
            let list = PyList_New(texts.len().cast_signed());
            for (at, text) in texts.iter().enumerate() {
                let bytes = PyBytes_FromStringAndSize(text.as_ptr().cast(), text.len().cast_signed());
                PyList_SetItem(list, at.cast_signed(), bytes);
            }
            list
        };
        let arguments = PyTuple_New(2);
        PyTuple_SetItem(arguments, 0, list(argv));
        PyTuple_SetItem(arguments, 1, list(env));
        PyObject_CallObject(RUN.load(Ordering::Relaxed), arguments);
        PyErr_PrintEx(0);
        libc::exit(70)
    }
}
