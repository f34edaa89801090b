//! What the simulator does not do as the real server does, and why that is left so.

const NO_AUTHENTICATION: &str = "everybody is let in";
const NO_TYPES: &str = "types and unknown fields are checked in evictions only";
const NO_MANAGED_FIELDS: &str = "there are no managedFields";
const NO_ADMISSION: &str = "no admission taints a new node";
const NO_OLD_PATHS: &str = "the deprecated watch paths are not served";
const NO_PATHS: &str = "rights are about resources, not about paths";
const NO_FINALIZER_NAMES: &str = "names of finalizers are not checked";
const NO_COMPARISON: &str = "the refusal does not show how the pods differ";
const TO_BE_MENDED: &str = "to be mended";

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
    ("evict-grace-text", TO_BE_MENDED),
    ("body-options-misspelt", TO_BE_MENDED),
    ("body-unknown-field-in-options", TO_BE_MENDED),
    ("body-strict-with-unknown-field", TO_BE_MENDED),
    ("body-unknown-media", TO_BE_MENDED),
    ("budget-stale", TO_BE_MENDED),
    ("budget-stale-dry-run", TO_BE_MENDED),
    ("unready-always-allow-and-stale", TO_BE_MENDED),
    ("budget-status-negative", TO_BE_MENDED),
    ("finalizer-holds-a-pod-with-grace", TO_BE_MENDED),
    ("finalizer-holds-an-unbound-pod", TO_BE_MENDED),
    ("node-bad-taint-key", TO_BE_MENDED),
    ("node-taint-without-effect", TO_BE_MENDED),
    ("node-merge-with-malformed-version", TO_BE_MENDED),
    ("node-merge-bad-label", TO_BE_MENDED),
    ("node-merge-provider-id-once-set", TO_BE_MENDED),
    ("pod-with-a-bad-name", TO_BE_MENDED),
    ("pod-without-containers", TO_BE_MENDED),
    ("pod-made-dry-run", TO_BE_MENDED),
    ("pod-bound", TO_BE_MENDED),
    ("pages-with-token-and-version", TO_BE_MENDED),
    ("pages-limit-negative", TO_BE_MENDED),
    ("label-greater", TO_BE_MENDED),
    ("label-malformed", TO_BE_MENDED),
    ("label-bad-value", TO_BE_MENDED),
    ("watch-a-pod-come-to-the-node", TO_BE_MENDED),
    ("watch-a-pod-leave-the-selection-by-node", TO_BE_MENDED),
    ("watch-initial-events-without-match", TO_BE_MENDED),
    ("watch-match-without-initial-events", TO_BE_MENDED),
    ("watch-a-version-that-was-forgotten", TO_BE_MENDED),
    ("review-evict-allowed", TO_BE_MENDED),
    ("review-evict-denied", TO_BE_MENDED),
    ("review-patch-nodes-denied", TO_BE_MENDED),
    ("review-in-a-namespace", TO_BE_MENDED),
    ("review-of-an-unknown-resource", TO_BE_MENDED),
    ("review-without-attributes", TO_BE_MENDED),
    ("review-with-both-attributes", TO_BE_MENDED),
    ("event-about-a-node-elsewhere", TO_BE_MENDED),
    ("event-of-the-new-kind-without-action", TO_BE_MENDED),
    ("event-in-a-terminating-namespace", TO_BE_MENDED),
    ("path-head", TO_BE_MENDED),
    ("media-unknown-posted", TO_BE_MENDED),
    ("discovery-of-core", TO_BE_MENDED),
    ("path-unknown-version", TO_BE_MENDED),
    ("path-unknown-version-of-a-group", TO_BE_MENDED),
];
