//! The simulator's objects, their one version counter, and the history that watches follow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::json::{self, key, key_of, set, text};
use super::kind::Kind;
use spot_core::sim::Random;

/// How many changes are remembered unless told otherwise.
const HISTORY: usize = 20_000;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It came.
    Added,
    /// It changed.
    Modified,
    /// It went.
    Deleted,
}

/// A change of one object.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// The object's kind.
    pub kind: Kind,
    /// What happened to it.
    pub what: What,
    /// Its `namespace/name`, or name.
    pub key: String,
    /// As it is now, or as it was last, under this change's version.
    pub object: Arc<Value>,
    /// As it was before; `None` where it is new.
    pub previous: Option<Arc<Value>>,
}

/// The objects of one kind by `namespace/name`.
pub(crate) type Objects = BTreeMap<String, Arc<Value>>;

#[derive(Debug)]
pub(crate) struct Store {
    objects: BTreeMap<Kind, Objects>,
    version: u64,
    random: Random,
    history: VecDeque<Change>,
    /// Changes up to this version are forgotten.
    compacted: u64,
    remembered: usize,
}

impl Store {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            objects: Kind::all().map(|kind| (kind, Objects::new())).collect(),
            version: 1,
            random: Random::new(seed),
            history: VecDeque::new(),
            compacted: 0,
            remembered: HISTORY,
        }
    }

    /// The version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// A name's ending of five characters, from the alphabet that Kubernetes uses.
    fn suffix(&mut self) -> String {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut number = self.random.next_u64();
        let mut suffix = String::new();
        for _ in 0..5 {
            let at = usize::try_from(number % 27).unwrap_or_default();
            suffix.push(char::from(ALPHABET[at]));
            number /= 27;
        }
        suffix
    }

    /// A name that begins with `stem` and that no object of its kind has, as the API server
    /// generates it.
    pub(crate) fn free_name(&mut self, kind: Kind, namespace: &str, stem: &str) -> String {
        loop {
            let name = format!("{stem}{}", self.suffix());
            if self.get(kind, &key(namespace, &name)).is_none() {
                return name;
            }
        }
    }

    fn uid(&mut self) -> String {
        let (a, b) = (self.random.next_u64(), self.random.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }

    pub(crate) fn all(&self, kind: Kind) -> &Objects {
        // Every kind is there from the start.
        static NONE: Objects = Objects::new();
        self.objects.get(&kind).unwrap_or(&NONE)
    }

    /// The objects of a namespace.
    pub(crate) fn within<'a>(
        &'a self,
        kind: Kind,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Value>> + use<'a> {
        let prefix = format!("{namespace}/");
        self.all(kind)
            .range(prefix.clone()..)
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(_, object)| object)
    }

    pub(crate) fn get(&self, kind: Kind, key: &str) -> Option<&Arc<Value>> {
        self.all(kind).get(key)
    }

    /// Gives a new object its UID and its time of creation.
    pub(crate) fn identified(&mut self, kind: Kind, mut object: Value, now: Timestamp) -> Value {
        let uid = self.uid();
        set(&mut object, &["metadata", "uid"], uid);
        set(
            &mut object,
            &["metadata", "creationTimestamp"],
            json::stamp(now),
        );
        if kind.resource().generation {
            set(&mut object, &["metadata", "generation"], 1);
        }
        object
    }

    /// Puts a new object in, with its UID, version and time of creation.
    pub(crate) fn insert(&mut self, kind: Kind, object: Value, now: Timestamp) -> Arc<Value> {
        let object = self.identified(kind, without_empty_maps(object), now);
        let object = self.versioned(object);
        let key = key_of(&object);
        self.keep(kind, key.clone(), Arc::clone(&object));
        self.remember(kind, What::Added, key, &object, None);
        object
    }

    /// Puts an object in the place of its older self; one without a change is not written.
    pub(crate) fn replace(&mut self, kind: Kind, object: Value) -> Arc<Value> {
        let key = key_of(&object);
        let previous = self.get(kind, &key).cloned();
        if let Some(previous) = &previous {
            let mut same = without_empty_maps(object);
            let version = previous["metadata"]["resourceVersion"].clone();
            set(&mut same, &["metadata", "resourceVersion"], version);
            if same == **previous {
                return Arc::clone(previous);
            }
            return self.write(kind, key, same, Arc::clone(previous));
        }
        Arc::new(object)
    }

    fn write(&mut self, kind: Kind, key: String, new: Value, old: Arc<Value>) -> Arc<Value> {
        let object = self.versioned(new);
        self.keep(kind, key.clone(), Arc::clone(&object));
        self.remember(kind, What::Modified, key, &object, Some(old));
        object
    }

    pub(crate) fn remove(&mut self, kind: Kind, key: &str) -> Option<Arc<Value>> {
        let previous = self.objects.get_mut(&kind)?.remove(key)?;
        let last = self.versioned((*previous).clone());
        self.remember(kind, What::Deleted, key.to_owned(), &last, Some(previous));
        Some(last)
    }

    fn keep(&mut self, kind: Kind, key: String, object: Arc<Value>) {
        self.objects.entry(kind).or_default().insert(key, object);
    }

    fn versioned(&mut self, mut object: Value) -> Arc<Value> {
        self.version += 1;
        let version = self.version.to_string();
        set(&mut object, &["metadata", "resourceVersion"], version);
        Arc::new(object)
    }

    fn remember(
        &mut self,
        kind: Kind,
        what: What,
        key: String,
        object: &Arc<Value>,
        previous: Option<Arc<Value>>,
    ) {
        self.history.push_back(Change {
            version: self.version,
            kind,
            what,
            key,
            object: Arc::clone(object),
            previous,
        });
        while self.history.len() > self.remembered {
            if let Some(forgotten) = self.history.pop_front() {
                self.compacted = forgotten.version;
            }
        }
    }

    /// How many changes are remembered from now on.
    pub(crate) fn remember_at_most(&mut self, changes: usize) {
        self.remembered = changes;
    }

    /// Forgets the changes up to a version.
    pub(crate) fn compact(&mut self, version: u64) {
        let version = version.min(self.version);
        while self.history.front().is_some_and(|c| c.version <= version) {
            self.history.pop_front();
        }
        self.compacted = self.compacted.max(version);
    }

    /// The changes after a version, oldest first.
    pub(crate) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let from = self.history.partition_point(|c| c.version <= version);
        self.history.range(from..)
    }

    /// The objects of a kind as they were at a version; `None` where that is forgotten.
    pub(crate) fn at(&self, kind: Kind, version: u64) -> Option<Objects> {
        if version < self.compacted {
            return None;
        }
        let mut objects = self.all(kind).clone();
        let later = self.history.iter().rev();
        for change in later.take_while(|c| c.version > version) {
            if change.kind != kind {
                continue;
            }
            match &change.previous {
                Some(previous) => objects.insert(change.key.clone(), Arc::clone(previous)),
                None => objects.remove(&change.key),
            };
        }
        Some(objects)
    }

    /// The version of an object, as a number.
    pub(crate) fn version_of(object: &Value) -> u64 {
        text(object, "/metadata/resourceVersion")
            .parse()
            .unwrap_or_default()
    }
}

/// The object as the server keeps it: labels and annotations of which there are none are not there.
fn without_empty_maps(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let is_empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        metadata.retain(|name, value| {
            !matches!(name.as_str(), "labels" | "annotations") || !is_empty(value)
        });
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str) -> Value {
        json!({"metadata": {"name": name}})
    }

    #[test]
    fn the_past_is_there_until_it_is_compacted() {
        let mut store = Store::new(1);
        store.insert(Kind::Node, node("a"), Timestamp::UNIX_EPOCH);
        let then = store.version();
        store.insert(Kind::Node, node("b"), Timestamp::UNIX_EPOCH);
        let mut a = (**store.get(Kind::Node, "a").unwrap()).clone();
        a["spec"]["x"] = json!(1);
        store.replace(Kind::Node, a);
        store.remove(Kind::Node, "b");
        let past = store.at(Kind::Node, then).unwrap();
        assert_eq!(past.keys().collect::<Vec<_>>(), ["a"]);
        assert!(past["a"].get("spec").is_none());
        store.compact(then + 1);
        assert!(store.at(Kind::Node, then).is_none());
        assert_eq!(store.since(then + 1).count(), 2);
    }

    #[test]
    fn a_write_without_a_change_has_no_version() {
        let mut store = Store::new(1);
        let a = store.insert(Kind::Node, node("a"), Timestamp::UNIX_EPOCH);
        let before = store.version();
        store.replace(Kind::Node, (*a).clone());
        assert_eq!(store.version(), before);
    }

    #[test]
    fn the_same_seed_makes_the_same_identities() {
        let uid = |seed| {
            let a = Store::new(seed).insert(Kind::Node, node("a"), Timestamp::UNIX_EPOCH);
            text(&a, "/metadata/uid").to_owned()
        };
        assert_eq!(uid(1), uid(1));
        assert_ne!(uid(1), uid(2));
    }
}
