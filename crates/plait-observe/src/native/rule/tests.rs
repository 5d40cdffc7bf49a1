use super::*;

/// Calls as a shot shows them, the innermost first: `ext:` and `lib:` before those outside of the interpreter, `*` before those
/// that call by a pointer, `+0x` in those that nothing names, a dot in those that only Python has a name for.
fn calls(text: &str) -> Vec<Call> {
    let parse = |word: &str| {
        let (by_pointer, word) = word.strip_prefix('*').map_or((false, word), |word| (true, word));
        let (kind, word) = match word.split_once(':').filter(|(_, rest)| !rest.starts_with(':')) {
            Some(("ext", word)) => (Kind::Extension, word),
            Some(("lib", word)) => (Kind::System, word),
            Some(("bridge", word)) => (Kind::Bridge, word),
            _ => (Kind::Interpreter, word),
        };
        let name = (!word.contains("+0x")).then(|| word.to_owned());
        Call { is_method: name.is_some() && word.contains('.'), name, place: word.to_owned(), kind, by_pointer }
    };
    text.split(" < ").filter(|word| !word.is_empty()).map(parse).collect()
}

fn named(text: &str) -> Option<String> {
    function(&calls(text), true)
}

#[test]
fn recorded_stacks_have_the_names_that_their_programs_say() {
    for (stack, name) in [
        // re.findall
        ("sre_ucs1_match < sre_search < _sre_SRE_Pattern_findall", "_sre_SRE_Pattern_findall"),
        ("re.Pattern.findall < _PyCallMethodDescriptorFastWithKeywords_StackRef", "re.Pattern.findall"),
        // json.loads, json.dumps
        (
            "_PyObject_Malloc < _PyObject_GC_New < PyList_New < ext:scan_once_unicode < ext:scan_once_unicode < \
             ext:scanner_call < _PyObject_MakeTpCall",
            "scanner_call",
        ),
        ("delitem_common < ext:encoder_listencode_obj < ext:encoder_call < _PyObject_MakeTpCall", "encoder_call"),
        // pickle.dumps
        ("PyMemoTable_Set < ext:save_dict < ext:save < ext:dump < ext:_pickle_dumps", "_pickle_dumps"),
        // sorted
        (
            "unsafe_float_compare < merge_at < list_sort_impl < list_sort < cfunction_vectorcall_FASTCALL_KEYWORDS < \
             PyObject_Vectorcall < builtin_sorted",
            "builtin_sorted",
        ),
        // Integers of 300,000 bits, by an instruction of their own and by the slot.
        ("k_mul < k_mul < _PyLong_Multiply", "_PyLong_Multiply"),
        ("k_mul < k_mul < long_mul < binary_op1 < PyNumber_Multiply", "long_mul"),
        // list(csv.reader(...)): it is the reader that works, not the list.
        (
            "_PyObject_Malloc < PyUnicode_New < ext:parse_save_field < ext:parse_process_char < ext:Reader_iternext < \
             _list_extend < list_vectorcall",
            "Reader_iternext",
        ),
        ("listiter_next < ext:map_next < PyIter_Next < builtin_sum", "builtin_sum"),
        // list(range(...)) on one built without a native iterator in sight.
        ("list_extend < list_vectorcall", "list_extend"),
        // Decimal division
        ("ext:six_step_fnt < ext:mpd_qdiv < ext:nm_mpd_qdiv < PyNumber_TrueDivide", "nm_mpd_qdiv"),
        // ctypes.PyDLL(None).usleep
        (
            "lib:clock_nanosleep < lib:nanosleep < lib:usleep < bridge:libffi.so.8.1.2+0x6f28 < bridge:ffi_call < \
             bridge:_ctypes_callproc < bridge:PyCFuncPtr_call < _PyObject_MakeTpCall",
            "usleep",
        ),
        ("lib:libc.so.6+0x16d800 < _PyUnicode_JoinArray < PyUnicode_Join", "PyUnicode_Join"),
        ("unicode_count_impl < unicode_count < method_vectorcall_VARARGS < PyObject_Vectorcall", "unicode_count"),
        ("lib:munmap < _PyObject_Free < list_dealloc < _Py_Dealloc", "list_dealloc"),
        // An extension module in Rust, and one by pybind11
        (
            "ext:parser::parse < ext:parser::_::__pyfunction_parse < ext:pyo3::impl_::trampoline::fastcall_with_keywords < \
          cfunction_vectorcall_FASTCALL_KEYWORDS",
            "parser::_::__pyfunction_parse",
        ),
        ("ext:solve < ext:pybind11::cpp_function::dispatcher < cfunction_call", "solve"),
    ] {
        assert_eq!(named(stack).as_deref(), Some(name), "{stack}");
    }
}

#[test]
fn the_garbage_collector_is_named_when_nobody_else_is_at_work() {
    for stack in [
        // By itself, since 3.12 and up to 3.11, and asked to.
        "gc_collect_main < _Py_RunGC < _Py_HandlePending",
        "gc_collect_main < _PyObject_GC_Link < _PyObject_GC_New < PyList_New",
        "visit_decref < list_traverse < gc_collect_main < gc_collect",
    ] {
        assert_eq!(named(stack).as_deref(), Some(COLLECTOR), "{stack}");
    }
    // It was the parser's objects that set it off.
    let stack = "gc_collect_main < _PyObject_GC_New < PyList_New < ext:scan_once_unicode < ext:scanner_call";
    assert_eq!(named(stack).as_deref(), Some("scanner_call"));
    assert!(calls(stack).iter().any(Call::is_collector));
}

#[test]
fn python_code_is_not_named_after_what_its_instructions_do() {
    for stack in [
        "",
        "_PyObject_Free",
        "_PyObject_Calloc < PyList_New < _PyList_FromArraySteal",
        "lib:__tls_get_addr < _PyObject_Malloc < _PyObject_GC_New < PyList_New",
        "lib:__tls_get_addr",
        "PyObject_Vectorcall",
        // Waiting for its turn.
        "lib:libc.so.6+0x85e50 < lib:pthread_cond_timedwait < take_gil",
    ] {
        assert_eq!(named(stack), None, "{stack}");
    }
}

#[test]
fn a_stripped_interpreter_gets_no_wrong_names() {
    for stack in [
        // re.findall, pickle.dumps, sorted: PyList_Sort or PyUnicode_Join, had they been on the way, would be details.
        "python3.11+0x478964 < python3.11+0x5fa160 < python3.11+0x67e340",
        "PyType_GetModuleByDef < python3.11+0x694bb0 < python3.11+0x5c7830 < PyObject_Vectorcall",
        "lib:libc.so.6+0x16d800 < _PyUnicode_JoinArray < python3.11+0x599b00",
        // The collector, unnamed.
        "python3.11+0x50ba60 < python3.11+0x630c00 < _PyObject_GC_New < PyList_New",
    ] {
        assert_eq!(named(stack), None, "{stack}");
    }
    // select.select, which asks its arguments for their numbers: a detail of it, though it has a name.
    let stack = "_io.TextIOWrapper.fileno < python3.11+0x51f5e0 < PyObject_AsFileDescriptor < python3.11+0x6ac790 < \
                 python3.11+0x6abc10 < *python3.11+0x53ad40 < *PyObject_Vectorcall";
    assert_eq!(named(stack), None);
    for (stack, name) in [
        // What calls by a pointer leads on to what Python knows by name.
        ("python3.11+0x581700 < list.sort < *python3.11+0x53ad40 < builtins.sorted", "builtins.sorted"),
        (
            "python3.11+0x5fa160 < re.Pattern.findall < *python3.11+0x53ad40 < *PyObject_Vectorcall",
            "re.Pattern.findall",
        ),
        (
            "python3.11+0x697750 < _csv.reader.__next__ < *list.extend < list.__new__ < *PyObject_Vectorcall",
            "_csv.reader.__next__",
        ),
        ("python3.11+0x5a76b0 < int.__mul__ < *PyNumber_Multiply", "int.__mul__"),
        // What uses a library is told by it.
        ("ext:libz.so.1.2.13+0x5d80 < ext:deflate < python3.11+0x4a1b4f < *python3.11+0x53ad40", "deflate"),
    ] {
        assert_eq!(named(stack).as_deref(), Some(name), "{stack}");
    }
    // What is in a module of its own is told at least by that.
    let json = "_json.cpython-311-x86_64-linux-gnu.so";
    let stack = format!("python3.11+0x5 < PyDict_New < ext:{json}+0x5a30 < ext:{json}+0x4d90 < *_PyObject_MakeTpCall");
    assert_eq!(named(&stack), Some(format!("{json}+0x4d90")));
}

#[test]
fn without_the_evaluation_loop_only_an_extension_is_named() {
    let unreached = |text: &str| function(&calls(text), false);
    assert_eq!(
        unreached("ext:deflate_slow < ext:deflate < python3.13+0x1 < PyObject_Vectorcall").as_deref(),
        Some("deflate")
    );
    for stack in
        ["sre_search < _sre_SRE_Pattern_findall", "lib:memmove < python3.13+0x1", "ext:worker < lib:start_thread", ""]
    {
        assert_eq!(unreached(stack), None, "{stack}");
    }
}

#[test]
fn where_bytecode_runs_is_recognised_in_all_builds() {
    assert!(is_evaluation("_PyEval_EvalFrameDefault") && is_evaluation("_TAIL_CALL_CALL"));
    assert!(!is_evaluation("_PyEval_Vector") && !is_evaluation("PyEval_EvalCode"));
}
