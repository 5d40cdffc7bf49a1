//! Which of the native calls of a thread is the one that Python code made, and which are only the way to it.
//!
//! From the evaluation loop inward, calls that only lead on are skipped: vectorcalls, slots, wrappers, the bridges to
//! other languages. The first other one is the function. A call that nothing names ends the search rather than being
//! skipped: what lies beyond it may be a detail of it, and naming a detail would be wrong.

use super::modules::Kind;
use super::unwind::Call;

/// A function that every CPython has and exports, and nothing else does.
pub(super) const OF_THE_INTERPRETER: &str = "PyRun_SimpleStringFlags";
/// Where that runs bytecode.
pub(super) const EVALUATION: &str = "_PyEval_EvalFrameDefault";
/// What a shot of the garbage collector is called, whichever of its functions was met.
const COLLECTOR: &str = "gc_collect_main";

/// Whether this is where the interpreter runs bytecode.
pub(super) fn is_evaluation(name: &str) -> bool {
    // CPython 3.14 may be built with a function for each instruction.
    name == EVALUATION || name.starts_with("_TAIL_CALL_")
}

/// Whether this is one of the functions that drive a garbage collection.
fn is_collector(name: &str) -> bool {
    let starts = ["gc_collect", "_PyGC_Collect", "PyGC_Collect", "_Py_RunGC"];
    starts.iter().any(|start| name.starts_with(start))
}

/// The function that Python code called, of calls with the innermost first; `reached_python` if the evaluation loop made the
/// outermost of them.
pub(super) fn function(calls: &[Call], reached_python: bool) -> Option<String> {
    if !reached_python {
        return first_of_an_extension(calls);
    }
    let mut crossed_bridge = false;
    for (inner, call) in calls.iter().enumerate().rev() {
        let beneath = &calls[..inner];
        match (&call.name, call.kind) {
            (_, Kind::Bridge) => crossed_bridge = true,
            (Some(name), Kind::System) if crossed_bridge => return Some(name.clone()),
            (_, Kind::System) => {}
            (Some(name), _) if is_collector(name) => return Some(COLLECTOR.to_owned()),
            (Some(name), _) if is_plumbing(name) => {}
            (Some(name), _) if is_allocation(name) => {
                return beneath.iter().any(Call::is_collector).then(|| COLLECTOR.to_owned());
            }
            (Some(name), _) if is_filling(name) && beneath.iter().any(is_iteration) => {}
            (Some(name), _) => return Some(name.clone()),
            (None, Kind::Extension) => return Some(call.place.clone()),
            // Of a stripped interpreter: plumbing, if it called what it was given to call.
            (None, Kind::Interpreter) if call.by_pointer => {}
            // Or else it is the function, and its name is not known; but if it uses a library, that says what it does.
            (None, Kind::Interpreter) => {
                let library = beneath.last().filter(|call| call.kind == Kind::Extension)?;
                return Some(library.name.as_ref().unwrap_or(&library.place).clone());
            }
        }
    }
    None
}

impl Call {
    pub fn is_collector(&self) -> bool {
        self.name.as_deref().is_some_and(is_collector)
    }
}

/// Where the evaluation loop was not found: the function of an extension that the interpreter called.
fn first_of_an_extension(calls: &[Call]) -> Option<String> {
    let interpreter = calls.iter().position(|call| call.kind == Kind::Interpreter)?;
    let call = calls[..interpreter].last()?;
    (call.kind == Kind::Extension).then(|| call.name.as_ref().unwrap_or(&call.place).clone())
}

/// Calls that only lead on to another.
fn is_plumbing(name: &str) -> bool {
    const STARTS: &[&str] = &[
        // How the interpreter calls, and takes the value of, anything.
        "_PyEval_",
        "PyEval_",
        "_PyObject_Call",
        "PyObject_Call",
        "_PyObject_FastCall",
        "_PyObject_MakeTpCall",
        "_PyFunction_",
        "_PyCFunction_",
        "_Py_CheckFunctionResult",
        "_Py_HandlePending",
        "_Py_Dealloc",
        "take_gil",
        "drop_gil",
        "cfunction_",
        "method_",
        "object_vacall",
        "partial_call",
        "py_trampoline_evaluator",
        "context_run",
        "type_call",
        "tp_new_wrapper",
        "slot_",
        "wrap_",
        "wrapper_call",
        "wrapperdescr_",
        // How it finds the function of an operator.
        "PyNumber_",
        "binary_op",
        "binary_iop",
        "ternary_op",
        "PyObject_GetItem",
        "PyObject_SetItem",
        "PyObject_DelItem",
        "PyObject_GetAttr",
        "PyObject_SetAttr",
        "PyObject_GenericGetAttr",
        "_PyObject_GenericGetAttr",
        "PyObject_RichCompare",
        "do_richcompare",
        "PyObject_Hash",
        "PyObject_Str",
        "PyObject_Repr",
        "PyObject_Format",
        "PyObject_GetIter",
        "PyIter_Next",
        "PySequence_GetItem",
        "PySequence_Contains",
        "PySequence_Repeat",
        "PySequence_Concat",
        "property_descr_",
        "getset_",
        // Bridges to other languages.
        "PyCFuncPtr_call",
        "_ctypes_callproc",
        "_call_function_pointer",
        "ffi_call",
        "__Pyx_",
        "pybind11::",
        "nanobind::",
        "boost::python::",
        "pyo3::",
        "<pyo3::",
        "std::panic",
        "core::ops::function::",
        "__rust_try",
        // The same by the names that Python has for them.
        "type.__call__",
        "method.__call__",
        "function.__call__",
        "instancemethod.__call__",
        "builtin_function_or_method.__call__",
        "method_descriptor.__call__",
        "classmethod_descriptor.__call__",
        "wrapper_descriptor.__call__",
        "functools.partial.__call__",
        "Context.run",
    ];
    // What CPython 3.15 calls with references that lie on the stack of bytecode it does for an instruction.
    name.contains("ectorcall") || name.contains("StackRef") || STARTS.iter().any(|start| name.starts_with(start))
}

/// What bytecode itself makes and frees objects with. It never takes long, but up to CPython 3.11 the collector is started
/// from there.
fn is_allocation(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "PyList_New",
        "PyTuple_New",
        "PyDict_New",
        "PySet_New",
        "PyCell_New",
        "PyMethod_New",
        "PySlice_New",
        "PyFunction_New",
        "PyFunction_NewWithQualName",
        "PyCFunction_NewEx",
        "PyCMethod_New",
        "PyType_GenericAlloc",
        "PyType_GenericNew",
        "_PyType_AllocNoTrack",
        "_PyObject_Calloc",
        "_PyObject_Free",
        "_PyObject_GC_Link",
        "_PyObject_GC_New",
        "_PyObject_GC_NewVar",
        "_PyObject_GC_Alloc",
        "_PyObject_Malloc",
        "PyObject_Calloc",
        "PyObject_Free",
        "PyObject_GC_Del",
        "PyObject_Malloc",
        "_PyTuple_FromArraySteal",
        "_PyList_FromArraySteal",
        "_PyDict_FromItems",
        "_Py_MakeCoro",
        "gc_alloc",
        "make_gen",
        "new_dict",
        "object_new",
        "tuple_alloc",
    ];
    NAMES.contains(&name)
}

/// Functions that run an iterator to its end; where that is native, it is what takes the time.
fn is_filling(name: &str) -> bool {
    const STARTS: &[&str] = &[
        "list_extend",
        "_list_extend",
        "list___init__",
        "list_init",
        "PySequence_List",
        "PySequence_Tuple",
        "tuple_new",
        "deque_",
        "consume_iterator",
        "list.__init__",
        "list.__new__",
        "list.extend",
        "tuple.__new__",
        "collections.deque.",
    ];
    STARTS.iter().any(|start| name.starts_with(start))
}

fn is_iteration(call: &Call) -> bool {
    call.name
        .as_deref()
        .is_some_and(|name| name.ends_with("iternext") || name.ends_with("_next") || name.ends_with("__next__"))
}

#[cfg(test)]
mod tests;
