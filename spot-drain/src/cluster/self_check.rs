//! The self-check of the links to a cluster.

mod judge;

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, Request, header};
use jiff::Timestamp;
use spot_core::armed::{Finding, SelfCheck};
use spot_core::node::{Phase, Quarantine};
use spot_core::notice::{Instance, Notice, NoticeId, NoticeKind};
use tokio::time::{Instant, timeout};

use super::node::{get_request, patch_request};
use super::pods::{METADATA, eviction, review, review_of};
use super::replacement::trial;
use super::{CallError, Cluster, escape, request};
use crate::facts::PodFacts;
use crate::plan::Call;
use crate::replacement::MakeBeforeBreak;
use crate::reply::Raw;
use crate::taint::{self, NodePatch, QuarantineSettings};
use judge::{Findings, Made, RIGHTS};

/// A check is over after this time, whatever happens: the four calls of every check may take
/// [`SLOWEST`](super::SLOWEST) each, and those about replacements have what is left.
const LONGEST: Duration = Duration::from_secs(50);

/// Proves the links from us to a node's pods: every call of an interruption, as a dry run. See
/// [`Cluster::self_check`].
///
/// One check asks the API server four things, in this order:
///
/// | request | what it proves |
/// |---|---|
/// | GET of the node | the name, the connection, both certificates, the credentials; the node's `spec.providerID` is our instance |
/// | PATCH of the node, `dryRun=All`, with the patch that a Spot interruption would bring | the quarantine: permission, admission policies and webhooks |
/// | LIST of the node's pods, metadata only, `limit=1` | a pod to try |
/// | POST of that pod's eviction, `dryRun` `All` | the eviction: permission, admission policies and webhooks |
///
/// Where replacements are made first ([`KubeSelfCheck::with_make_before_break`]) five more follow:
/// four `SelfSubjectAccessReview`s, of `patch` on pods, `get` and `watch` on ReplicaSets and `get` on
/// Deployments, and a PATCH of the same pod, `dryRun=All`, that would detach it.
///
/// Where there is no pod, or only the mirror of a static one, a `SelfSubjectAccessReview` takes
/// the last one's place; where the eviction is answered with 403 it tells a missing right from a
/// policy about that pod. A dry run goes through authorization and admission and is not kept
/// (Kubernetes, API concepts, "Dry-run"). A node that is another machine's is not tried at all.
///
/// # What the verdicts mean
/// *Holds*: the call would have been taken a moment ago. *Broken*: it was refused, and a notice
/// now would fail there. *Unproven*: nothing was learnt, which is no fault: an earlier link is
/// broken, somebody else wrote to the node at that moment, the API server was too busy, or a
/// webhook serves no dry runs.
///
/// # Limits
/// - One pod stands for all: a policy may treat another one, or another namespace, otherwise.
///   What a policy or a webhook says about that one pod's eviction is therefore no proof of a
///   broken link: it is unproven then. A pod that is held by its budget proves as much as any.
/// - A `SelfSubjectAccessReview` knows authorization, and no admission.
/// - An API server answers an expired client certificate with 401, and so it shows as
///   [`Link::Credentials`]. [`Link::Certificate`] tells of one that is refused in the TLS
///   handshake, as what stands before an API server may do.
/// - A name that resolves to a dead address is [`Link::Connection`].
/// - What a drain only reads (DaemonSets, budgets, watches) is not tried: it does without.
///
/// # Cost
/// Four requests, five where an eviction is refused, and five more for replacements, which are counted in [`Cluster::requests`] and change nothing. A call
/// that is not answered is given up as any other call is, and a 401 makes the client anew, as
/// it does after any other call. The whole check takes less than a minute.
///
/// API server 1.36 takes the list from its cache, by node, after one small read of etcd. Older
/// ones may look for the one pod through the cluster's pods in etcd: another reason not to check
/// every few seconds.
///
/// [`Link::Certificate`]: spot_core::armed::Link::Certificate
/// [`Link::Connection`]: spot_core::armed::Link::Connection
/// [`Link::Credentials`]: spot_core::armed::Link::Credentials
///
/// # Example
/// ```no_run
/// use spot_core::armed::SelfCheck as _;
///
/// # async fn example(cluster: spot_drain::cluster::Cluster) {
/// for finding in cluster.self_check("worker-1").check(None).await {
///     println!("{finding}");
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct KubeSelfCheck {
    cluster: Cluster,
    node: String,
    settings: QuarantineSettings,
    makes_first: bool,
}

impl KubeSelfCheck {
    pub(super) fn new(cluster: Cluster, node: String) -> Self {
        Self {
            cluster,
            node,
            settings: QuarantineSettings::default(),
            makes_first: false,
        }
    }

    /// The same check with other settings of the quarantine.
    #[must_use]
    pub fn with_settings(mut self, settings: QuarantineSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The same check of a drain for whose workloads replacements are made first: it proves
    /// [`Link::Replacement`](spot_core::armed::Link::Replacement) too, unless that is off.
    #[must_use]
    pub fn with_make_before_break(mut self, make: MakeBeforeBreak) -> Self {
        self.makes_first = make != MakeBeforeBreak::Off;
        self
    }

    /// Tries one link after the other; `None` where the rest cannot be tried.
    async fn try_all(&self, found: &mut Findings, instance: Option<&str>) -> Option<()> {
        let get = self.as_asked(get_request(&self.node));
        let answer = self.ask(found, get).await;
        let node = found.identity(answer, &self.node, instance)?;

        if let Some((patch, made)) = self.patch(&node, instance) {
            let patch = patch_request(&self.node, patch, true);
            let answer = self.ask(found, patch).await;
            found.quarantine(answer, made)?;
        }

        let answer = self.ask(found, self.list()).await;
        let pod = found.pods(answer)?.into_items().into_iter().next();
        let pod = pod.filter(|pod| !pod.mirror);
        if let Some(pod) = &pod {
            self.try_eviction(found, pod).await?;
        } else {
            let answer = self.ask(found, self.review("")).await;
            found.review(answer)?;
        }
        if self.makes_first {
            self.try_replacement(found, pod.as_ref()).await?;
        }
        Some(())
    }

    async fn try_eviction(&self, found: &mut Findings, pod: &PodFacts) -> Option<()> {
        let call = Call {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            pod: pod.uid.clone(),
            grace: None,
            dry_run: true,
        };
        // As patiently as a drain.
        let post = self.as_asked(eviction(&call));
        let answer = self.cluster.call_to_the_end(post).await;
        match found.eviction(answer, &call)? {
            Ok(()) => Some(()),
            // A right that is missing, or a policy about this pod: the review knows rights alone.
            Err(words) => {
                let answer = self.ask(found, self.review(&call.namespace)).await;
                found.refused(answer, &call, &words)
            }
        }
    }

    /// The rights first, each by its name: a patch that is refused tells of one. As ourselves, as a
    /// drain: no node may change its pods' labels.
    async fn try_replacement(&self, found: &mut Findings, pod: Option<&PodFacts>) -> Option<()> {
        let namespace = pod.map_or("", |pod| &pod.namespace);
        let mut missing = Vec::new();
        for right in &RIGHTS {
            let answer = self.ask(found, review_of(&right.of(namespace))).await;
            if !found.right(answer)? {
                missing.push(right);
            }
        }
        if found.rights(&missing)
            && let Some(pod) = pod
        {
            let answer = self.ask(found, trial(pod)).await;
            found.detached(answer, pod)?;
        }
        Some(())
    }

    async fn ask(&self, found: &mut Findings, request: Request<Vec<u8>>) -> Result<Raw, CallError> {
        let answer = self.cluster.call(request).await;
        // A resolver that says nothing looks as a server that says nothing.
        if matches!(answer, Err(CallError::Timeout(_))) && found.is_empty() {
            found.name(self.cluster.look_up().await);
        }
        answer
    }

    /// The patch that a Spot interruption would bring, as far as it can be made.
    fn patch(&self, node: &judge::Node, instance: Option<&str>) -> Option<(NodePatch, Made)> {
        let nothing = || NodePatch::Merge(serde_json::json!({}));
        match node {
            judge::Node::Missing => None,
            judge::Node::Unread => Some((nothing(), Made::Blindly)),
            judge::Node::Read(node) => {
                let patch = taint::quarantine(node, &wish(instance), &self.settings);
                Some((patch.unwrap_or_else(nothing), Made::Really))
            }
        }
    }

    /// One pod of the node. Not from the API server's cache, which gives all of them.
    fn list(&self) -> Request<Vec<u8>> {
        let node = escape(&self.node);
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}&limit=1");
        let mut list = request(Method::GET, &path, "application/json", Vec::new());
        let metadata = HeaderValue::from_static(METADATA);
        list.headers_mut().insert(header::ACCEPT, metadata);
        self.as_asked(list)
    }

    /// Whether we have the right by which a pod is evicted.
    fn review(&self, namespace: &str) -> Request<Vec<u8>> {
        let right = self.cluster.identity.right(Some(&self.node), "create");
        review(&right, namespace)
    }

    /// A request about the node or its pods, as whom it is asked.
    fn as_asked(&self, request: Request<Vec<u8>>) -> Request<Vec<u8>> {
        let identity = &self.cluster.identity;
        identity.asks(Some(&self.node), request)
    }
}

/// What a Spot interruption would ask for. Its times matter to nobody.
fn wish(instance: Option<&str>) -> Quarantine {
    let id = NoticeId::new("self-check");
    let notice = Notice::new(id, NoticeKind::SpotInterruption, Instant::now());
    let mut wish = Quarantine::new(&notice, Phase::Draining, Timestamp::UNIX_EPOCH);
    wish.deadline = Some(Timestamp::UNIX_EPOCH);
    wish.instance = instance.map(Into::into);
    wish
}

#[async_trait]
impl SelfCheck for KubeSelfCheck {
    async fn check(&self, instance: Option<Instance>) -> Vec<Finding> {
        let instance = instance.as_ref().map(|i| i.id.as_str());
        let identity = self.cluster.identity.clone();
        let mut found = Findings::at(self.cluster.server(), identity, self.makes_first);
        let tried = timeout(LONGEST, self.try_all(&mut found, instance)).await;
        if tried.is_err() {
            found.because(format!("not tried within {} s", LONGEST.as_secs()));
        }
        found.all()
    }
}
