//! What operators install: the chart, the manifests that it renders, and a process that stands for
//! one pod of the DaemonSet.

pub mod agent;
pub mod chart;
pub mod installed;
pub mod readme;
pub mod schemas;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result, error::Context as _};

/// The name of every object, and the namespace of those that have one.
pub const NAME: &str = "spot-interrupt-handler";
/// Where they are installed.
pub const NAMESPACE: &str = "kube-system";

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

/// A directory or file below `deploy`.
pub fn path(below: &str) -> PathBuf {
    Path::new(DEPLOY).join(below)
}

/// The plain manifests, by the servers that they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manifests {
    /// Kubernetes 1.36 and newer: the node is impersonated.
    Current,
    /// Older ones.
    Before136,
}

impl Manifests {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Current, Self::Before136];

    /// The file.
    pub fn path(self) -> PathBuf {
        path(match self {
            Self::Current => "manifests/spot-interrupt-handler.yaml",
            Self::Before136 => "manifests/before-1.36.yaml",
        })
    }

    /// Its objects.
    ///
    /// # Errors
    /// When it cannot be read, or is no YAML.
    pub fn objects(self) -> Result<Vec<Value>> {
        let path = self.path();
        let text = std::fs::read_to_string(&path).context(format!("read {}", path.display()))?;
        objects(&text)
    }

    /// Its one object of a kind.
    ///
    /// # Errors
    /// As [`Manifests::objects`], and when there is none.
    pub fn object(self, kind: &str) -> Result<Value> {
        let found = self.objects()?.into_iter().find(|o| o["kind"] == kind);
        found.ok_or_else(|| Error::Usage(format!("no {kind} in {}", self.path().display())))
    }
}

/// The documents of a stream of YAML, but for empty ones.
///
/// # Errors
/// When it is no YAML.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents = serde_saphyr::from_multiple::<Value>(text)
        .map_err(|error| Error::Usage(format!("no YAML: {error}")))?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}

/// One object as one of Kubernetes' types.
///
/// # Errors
/// When it has another shape.
pub fn typed<T: serde::de::DeserializeOwned>(object: Value) -> Result<T> {
    serde_json::from_value(object).map_err(|error| Error::Usage(error.to_string()))
}
