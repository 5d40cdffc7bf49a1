//! The modules that are mapped into a process: found when a stack touches them, and looked up by address.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use framehop::x86_64::UnwinderX86_64;
use framehop::{ExplicitModuleSectionInfo, Module, Unwinder};

use super::image::Image;
use super::maps::{self, Mapping, VDSO};
use super::methods::Data;
use super::rule;
use super::stop::copy_stack;
use super::unwind::Call;
use crate::Pid;

/// What is mapped is asked again after so long: a library may have come in another's place.
const FRESH: Duration = Duration::from_secs(2);
/// A vDSO is two pages.
const LARGEST_VDSO: u64 = 64 << 10;
/// More data than this is not looked through for names.
const LARGEST_DATA: u64 = 32 << 20;

/// The modules of one process.
pub(super) struct Modules {
    pub(super) pid: Pid,
    pub(super) unwinder: UnwinderX86_64<Arc<[u8]>>,
    mappings: Vec<Mapping>,
    /// For each mapping what its file says; the outer `None` where nobody asked yet.
    found: Vec<Option<Option<Found>>>,
    asked: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Found {
    image: Arc<Image>,
    shift: u64,
    kind: Kind,
}

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// CPython's own.
    Interpreter,
    /// What calls foreign functions for Python code, and so is never what matters.
    Bridge,
    /// The C library and its kin.
    System,
    /// Extension modules and what they use.
    Extension,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.found.iter().flatten().count();
        write!(f, "Modules of {}: {} mapped, {known} known", self.pid, self.mappings.len())
    }
}

impl Modules {
    pub fn of(pid: Pid) -> Self {
        Self { pid, unwinder: UnwinderX86_64::new(), mappings: Vec::new(), found: Vec::new(), asked: None }
    }

    /// Asks what is mapped if that was long ago, or if `now` says so. Where it cannot be read, nothing is mapped.
    pub fn refresh(&mut self, now: bool) {
        if !now && self.asked.is_some_and(|asked| asked.elapsed() < FRESH) {
            return;
        }
        self.asked = Some(Instant::now());
        let mappings = maps::of(self.pid).unwrap_or_default();
        if mappings != self.mappings {
            self.found = vec![None; mappings.len()];
            self.mappings = mappings;
            self.unwinder = UnwinderX86_64::new();
        }
    }

    /// Whether code is mapped at `address`, whatever is known of it.
    pub fn is_code(&self, address: u64) -> bool {
        self.index(address).is_some()
    }

    /// The function at `address`, and whether its module, which the unwinder knows from now on, says how to unwind it; `None`
    /// for code of no module, and of one that tells nothing.
    pub fn call(&mut self, address: u64) -> Option<(Call, bool)> {
        let index = self.index(address)?;
        if self.found[index].is_none() {
            let found = self.find(index);
            if let Some(found) = &found {
                self.unwinder.add_module(module(&self.mappings[index], found));
            }
            self.found[index] = Some(found);
        }
        let found = self.found[index].as_ref()?.as_ref()?;
        let own = address.wrapping_sub(found.shift);
        let described = found.image.described(own);
        let start = described.as_ref().map_or(own, |code| code.start);
        let mapping = &self.mappings[index];
        let place = format!("{}+{start:#x}", mapping.name());
        let symbol = match found.image.symbol(own) {
            Some(symbol) => Some(super::names::readable(&symbol)),
            None if matches!(found.kind, Kind::Interpreter) && found.image.is_in_rest_of_evaluation(own) => {
                Some(rule::EVALUATION.to_owned())
            }
            None => None,
        };
        let method = || found.image.method(start, found.shift, || data(self.pid, mapping)).map(str::to_owned);
        let (name, is_method) = match symbol {
            Some(symbol) => (Some(symbol), false),
            None if matches!(found.kind, Kind::System) => (None, false),
            None => method().map_or((None, false), |method| (Some(method), true)),
        };
        Some((Call { name, is_method, place, kind: found.kind, by_pointer: false }, described.is_some()))
    }

    fn index(&self, address: u64) -> Option<usize> {
        let index = self.mappings.partition_point(|mapping| mapping.start <= address).checked_sub(1)?;
        (address < self.mappings[index].end).then_some(index)
    }

    fn find(&self, index: usize) -> Option<Found> {
        let mapping = &self.mappings[index];
        let image = if mapping.path == VDSO {
            let mut bytes = vec![0; usize::try_from((mapping.end - mapping.start).min(LARGEST_VDSO)).ok()?];
            copy_stack(self.pid, mapping.start, &mut bytes).ok()?;
            Image::of_memory(bytes)?
        } else {
            Image::of_file(mapping.open(self.pid).ok()?)?
        };
        let shift = image.shift(mapping)?;
        let kind = if self.may_be_python(mapping) && image.is_interpreter() {
            Kind::Interpreter
        } else {
            Kind::of(mapping.name())
        };
        Some(Found { image, shift, kind })
    }

    /// CPython is in a file of its name, or in a program that embeds it.
    fn may_be_python(&self, mapping: &Mapping) -> bool {
        let name = mapping.name();
        let is_program =
            || std::fs::read_link(format!("/proc/{}/exe", self.pid)).is_ok_and(|exe| exe == Path::new(&mapping.path));
        name.starts_with("libpython") || name.starts_with("python") || is_program()
    }
}

impl Kind {
    /// By the name of the file.
    fn of(name: &str) -> Self {
        const BRIDGES: [&str; 4] = ["libffi", "_ctypes.", "_cffi_backend.", "libboost_python"];
        const SYSTEM: [&str; 8] =
            ["libc.so", "libc-", "libm.so", "libpthread", "ld-linux", "libgcc_s", "libstdc++", VDSO];
        let is = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        if is(&BRIDGES) {
            Self::Bridge
        } else if is(&SYSTEM) {
            Self::System
        } else {
            Self::Extension
        }
    }
}

/// What is mapped of a file besides its code.
fn data(pid: Pid, mapping: &Mapping) -> Option<Data> {
    let ranges = maps::data(pid, mapping.inode, &mapping.path).ok()?;
    let whole: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    // Large modules have names in their symbols, if they have any.
    if whole > LARGEST_DATA {
        return Some(Data::default());
    }
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let read = |range: &Range<u64>| {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
        memory.read_exact_at(&mut bytes, range.start).ok()?;
        Some((range.start, bytes))
    };
    Some(Data { stretches: ranges.iter().map(read).collect::<Option<_>>()? })
}

fn module(mapping: &Mapping, found: &Found) -> Module<Arc<[u8]>> {
    let Found { image, shift, .. } = found;
    let range = |part: &super::image::Part| part.address..part.address.saturating_add(part.bytes.len() as u64);
    let sections = ExplicitModuleSectionInfo {
        base_svma: image.base,
        eh_frame_svma: image.eh_frame.as_ref().map(range),
        eh_frame: image.eh_frame.as_ref().map(|part| part.bytes.clone()),
        eh_frame_hdr_svma: image.eh_frame_hdr.as_ref().map(range),
        eh_frame_hdr: image.eh_frame_hdr.as_ref().map(|part| part.bytes.clone()),
        ..Default::default()
    };
    Module::new(mapping.path.clone(), mapping.start..mapping.end, image.base.wrapping_add(*shift), sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_name() {
        assert_eq!(Kind::of("libffi.so.8.1.2"), Kind::Bridge);
        assert_eq!(Kind::of("_ctypes.cpython-311-x86_64-linux-gnu.so"), Kind::Bridge);
        assert_eq!(Kind::of("libc.so.6"), Kind::System);
        assert_eq!(Kind::of("[vdso]"), Kind::System);
        assert_eq!(Kind::of("libcrypto.so.3"), Kind::Extension);
        assert_eq!(Kind::of("_json.cpython-311-x86_64-linux-gnu.so"), Kind::Extension);
    }

    #[test]
    fn our_own_code_is_found_and_other_addresses_are_in_no_module() {
        let mut modules = Modules::of(std::process::id());
        modules.refresh(false);
        let here = (files_are_told_apart_by_name as fn() as *const ()).addr() as u64;
        let (call, described) = modules.call(here).expect("our own code");
        assert!(described);
        assert_eq!(call.kind, Kind::Extension);
        let name = call.name.expect("has a name");
        assert!(name.ends_with("modules::tests::files_are_told_apart_by_name"), "{name}");
        assert!(modules.call(16).is_none());
        assert!(!modules.is_code(u64::MAX));
        assert!(format!("{modules:?}").ends_with("1 known"));
    }
}
