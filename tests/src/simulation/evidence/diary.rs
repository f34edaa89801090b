//! Everything that was told, by which handler, in which of its lives, and when.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use spot_core::observer::{Event, Observer, Occurrence};
use tokio::time::Instant;

use super::Who;

/// Something that a handler told.
#[derive(Clone)]
pub(in crate::simulation) struct Entry {
    pub(in crate::simulation) at: Duration,
    pub(in crate::simulation) who: Who,
    pub(in crate::simulation) what: Occurrence,
}

/// What the handlers told. Clones share it.
#[derive(Clone)]
pub(in crate::simulation) struct Diary {
    start: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Diary {
    pub(in crate::simulation) fn new(start: Instant) -> Self {
        let entries = Arc::default();
        Self { start, entries }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::simulation) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// Writes one life into it.
    pub(in crate::simulation) fn writer(&self, who: Who) -> impl Observer + use<> {
        Writer {
            diary: self.clone(),
            who,
        }
    }
}

struct Writer {
    diary: Diary,
    who: Who,
}

impl Observer for Writer {
    fn on(&self, event: &Event) {
        let at = event.at.saturating_duration_since(self.diary.start);
        self.diary.lock().push(Entry {
            at,
            who: self.who,
            what: event.what.clone(),
        });
    }
}
