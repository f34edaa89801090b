//! What the simulator does not do as the real server does, and why that is left so.

const NO_AUTHENTICATION: &str = "everybody is let in";
const NO_TYPES: &str = "types and unknown fields are checked in evictions only";
const NO_MANAGED_FIELDS: &str = "there are no managedFields";
const NO_ADMISSION: &str = "no admission taints a new node";
const NO_OLD_PATHS: &str = "the deprecated watch paths are not served";
const NO_PATHS: &str = "rights are about resources, not about paths";
const NO_FINALIZER_NAMES: &str = "names of finalizers are not checked";
const NO_COMPARISON: &str = "the refusal does not show how the pods differ";

/// Name of a case and the reason. A limit that no longer differs fails the tests.
pub const LIMITS: &[(&str, &str)] = &[
    ("evict-with-an-unknown-token", NO_AUTHENTICATION),
    ("list-with-an-unknown-token", NO_AUTHENTICATION),
    ("review-by-a-stranger", NO_AUTHENTICATION),
    ("version-for-a-stranger", NO_AUTHENTICATION),
    ("node-merge-annotation-that-is-no-text", NO_TYPES),
    ("node-merge-unknown-field", NO_TYPES),
    ("node-merge-unknown-field-strictly", NO_TYPES),
    ("node-merge-wrong-type", NO_TYPES),
    ("json-wrong-type-posted", NO_TYPES),
    ("json-unknown-field-posted", NO_TYPES),
    ("node-append-with-manager", NO_MANAGED_FIELDS),
    ("node-is-made-not-ready", NO_ADMISSION),
    ("watch-by-the-old-path", NO_OLD_PATHS),
    ("review-of-a-path", NO_PATHS),
    ("pod-finalizer-unqualified", NO_FINALIZER_NAMES),
    ("patch-a-pod-to-another-node", NO_COMPARISON),
];
