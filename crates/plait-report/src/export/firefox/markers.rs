//! What is told beside the samples: states, tasks, who held a GIL and how much it was held, native calls, notes.

use fxprof_processed_profile::{
    CategoryHandle, GraphColor, Marker, MarkerFieldFlags, MarkerFieldFormat, MarkerGraphType, MarkerLocations,
    MarkerTypeHandle, Profile, RuntimeSchemaMarkerField, RuntimeSchemaMarkerGraph, RuntimeSchemaMarkerSchema,
    StringHandle,
};
use plait_trace::{Shot, Span, State, Task, ThreadLane};

use super::categories::Categories;
use crate::calls;

/// The kinds of markers, and the strings that come again and again.
pub(super) struct Markers {
    state: MarkerTypeHandle,
    task: MarkerTypeHandle,
    hold: MarkerTypeHandle,
    load: MarkerTypeHandle,
    shot: MarkerTypeHandle,
    note: MarkerTypeHandle,
    labels: [StringHandle; State::ALL.len()],
    nothing: StringHandle,
    task_name: StringHandle,
    load_name: StringHandle,
    shot_name: StringHandle,
}

/// One marker, of whatever kind; all have one text at most, and two numbers.
pub(super) struct Told {
    kind: MarkerTypeHandle,
    name: StringHandle,
    category: CategoryHandle,
    text: StringHandle,
    /// By the place of the field.
    numbers: [f64; 3],
}

impl Marker for Told {
    fn marker_type(&self, _: &mut Profile) -> MarkerTypeHandle {
        self.kind
    }

    fn name(&self, _: &mut Profile) -> StringHandle {
        self.name
    }

    fn category(&self, _: &mut Profile) -> CategoryHandle {
        self.category
    }

    fn string_field_value(&self, _: u32) -> StringHandle {
        self.text
    }

    fn number_field_value(&self, field: u32) -> f64 {
        self.numbers.get(field as usize).copied().unwrap_or_default()
    }
}

impl Markers {
    pub(super) fn of(profile: &mut Profile) -> Self {
        use MarkerFieldFormat::{Decimal, Duration, Integer, Percentage, String};
        let mut kind =
            |name: &str, label: &str, fields: &[(&str, &str, MarkerFieldFormat)], graphs: &[(&str, GraphColor)]| {
                let field = |(key, label, format): &(&str, &str, MarkerFieldFormat)| RuntimeSchemaMarkerField {
                    key: (*key).into(),
                    label: (*label).into(),
                    format: format.clone(),
                    flags: MarkerFieldFlags::SEARCHABLE,
                };
                let graph = |&(key, color): &(&str, GraphColor)| RuntimeSchemaMarkerGraph {
                    key: key.into(),
                    graph_type: MarkerGraphType::LineFilled,
                    color: Some(color),
                };
                profile.register_marker_type(RuntimeSchemaMarkerSchema {
                    type_name: name.into(),
                    description: None,
                    locations: MarkerLocations::MARKER_CHART | MarkerLocations::MARKER_TABLE,
                    chart_label: Some(label.into()),
                    tooltip_label: None,
                    table_label: Some(label.into()),
                    fields: fields.iter().map(field).collect(),
                    graphs: graphs.iter().map(graph).collect(),
                })
            };
        let state = kind("State", "{marker.data.call}", &[("call", "System call", String)], &[]);
        let task = kind(
            "Task",
            "{marker.data.function}",
            &[("function", "Function", String), ("task", "Number", Integer)],
            &[],
        );
        let hold = kind("Hold", "{marker.name}", &[], &[]);
        let percent = ("held", "Share of time held", Percentage);
        let threads = ("waiters", "Threads that wait", Decimal);
        let graphs = [("held", GraphColor::Green), ("waiters", GraphColor::Orange)];
        let load = kind("Load", "{marker.data.held}", &[percent, threads], &graphs);
        let function = ("function", "C function", String);
        let shot = kind("Shot", "{marker.data.function}", &[function, ("pause", "Stopped to look for", Duration)], &[]);
        let note = kind("Note", "{marker.data.text}", &[("text", "Text", String)], &[]);
        Self {
            state,
            task,
            hold,
            load,
            shot,
            note,
            labels: State::ALL.map(|state| profile.intern_string(state.label())),
            nothing: profile.intern_string(""),
            task_name: profile.intern_string("task"),
            load_name: profile.intern_string("GIL held and waited for"),
            shot_name: profile.intern_string("keeps the GIL"),
        }
    }

    pub(super) fn state(&self, profile: &mut Profile, categories: &Categories, span: &Span) -> Told {
        let place = State::ALL.iter().position(|&state| state == span.state).unwrap_or(State::ALL.len() - 1);
        let text = span.call.map_or(self.nothing, |number| profile.intern_string(&calls::name(number)));
        let category = categories.of_state(span.state);
        Told { kind: self.state, name: self.labels[place], category, text, numbers: [0.0; 3] }
    }

    pub(super) fn task(&self, profile: &mut Profile, task: &Task) -> Told {
        let text = profile.intern_string(&task.name);
        let numbers = [0.0, task.id as f64, 0.0];
        Told { kind: self.task, name: self.task_name, category: CategoryHandle::OTHER, text, numbers }
    }

    pub(super) fn hold(&self, profile: &mut Profile, categories: &Categories, holder: Option<&ThreadLane>) -> Told {
        let name = match holder.map(|lane| &lane.thread) {
            Some(thread) => profile.intern_string(&format!("{} {}", thread.name, thread.tid)),
            None => profile.intern_string("unknown thread"),
        };
        Told { kind: self.hold, name, category: categories.python, text: self.nothing, numbers: [0.0; 3] }
    }

    pub(super) fn load(&self, held: f64, waiters: f64) -> Told {
        let (category, text) = (CategoryHandle::OTHER, self.nothing);
        Told { kind: self.load, name: self.load_name, category, text, numbers: [held, waiters, 0.0] }
    }

    pub(super) fn shot(&self, profile: &mut Profile, categories: &Categories, shot: &Shot) -> Told {
        let text = profile.intern_string(shot.function.as_deref().unwrap_or("unnamed native code"));
        let numbers = [0.0, shot.pause as f64 / 1e6, 0.0];
        Told { kind: self.shot, name: self.shot_name, category: categories.keeps, text, numbers }
    }

    pub(super) fn note(&self, profile: &mut Profile, name: &str, text: &str) -> Told {
        let (name, text) = (profile.intern_string(name), profile.intern_string(text));
        Told { kind: self.note, name, category: CategoryHandle::OTHER, text, numbers: [0.0; 3] }
    }
}
