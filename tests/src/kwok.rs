//! Kubelets without machines that tell the truth about dying: KWOK with stages of our own.
//!
//! - A node gets Ready, with the capacity that it was made with, and a lease.
//! - A pod gets an address and runs; with [`READY_AFTER`] it is not ready before that.
//! - A pod that is deleted takes as long as [`EXIT_AFTER`] says, but no longer than its grace:
//!   then it is killed, and a Warning event with reason [`KILLED_BY_GRACE`] says so. The grace
//!   counts as it was when the kubelet first saw the deletion, because a kubelet ignores a
//!   shorter one that comes later. With [`KUBELET`] set to [`DEAD`] nothing happens.

/// Pod annotation: seconds (decimals allowed) that its processes take to end after the
/// deletion. Half a second if it is absent.
pub const EXIT_AFTER: &str = "spot-tests/exit-after";
/// Pod annotation: seconds from running to ready. At once if it is absent.
pub const READY_AFTER: &str = "spot-tests/ready-after";
/// Pod annotation: [`DEAD`] keeps its kubelet from ending it, ever.
pub const KUBELET: &str = "spot-tests/kubelet";
/// The value of [`KUBELET`] that has an effect.
pub const DEAD: &str = "dead";
/// Reason of the Warning event of a pod that was killed when its grace had run out.
pub const KILLED_BY_GRACE: &str = "KilledByGrace";

/// Options and stages, as one file. Without a `cidr` in it pods would get no address.
pub(crate) fn configuration() -> String {
    format!(
        "{}\n---\n{}",
        include_str!("kwok/options.yaml"),
        include_str!("kwok/stages.yaml")
    )
}
