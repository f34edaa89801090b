//! What the answers to a self-check mean. Pure.

mod replacement;

use std::collections::BTreeMap;

use serde_json::Value;
use spot_core::armed::{Finding, Link, Verdict};

use crate::cluster::CallError;
use crate::cluster::failure::{Failure, Flaw};
use crate::cluster::identity::Identity;
use crate::cluster::pods::Page;
use crate::facts::PodFacts;
use crate::plan::Call;
use crate::reply::{Raw, Reply, Status, decode};
use crate::taint::NodeFacts;

pub(super) use replacement::RIGHTS;

/// The links that are tried, the last one only where replacements are made first.
const LINKS: [Link; 8] = [
    Link::NameResolution,
    Link::Connection,
    Link::Certificate,
    Link::Credentials,
    Link::Identity,
    Link::Quarantine,
    Link::Eviction,
    Link::Replacement,
];

const SERVER: &str = "look at the API server and at what stands before it";
const ADDRESS: &str = "let `server` of the kubeconfig, or KUBERNETES_SERVICE_HOST and \
    KUBERNETES_SERVICE_PORT, name the API server, and let this machine reach it (routes, \
    firewalls, security groups)";
const RESOLVER: &str = "let the name in `server` of the kubeconfig resolve on this machine: look \
    at its resolver and at the name's records";
const TOKEN: &str = "give the handler a token that the API server takes: look at the mount of \
    its service account's token, or at the `user` of its kubeconfig";
const NODE_ADMISSION: &str = "let admission webhooks and policies for `nodes` take the \
    handler's patch, soon";
const POD_ADMISSION: &str = "let admission webhooks and policies for `pods/eviction` answer, \
    soon";

/// What the first request showed of the node.
pub(super) enum Node {
    /// This.
    Read(Box<NodeFacts>),
    /// It is there for all we know, and not for us to read.
    Unread,
    /// There is none.
    Missing,
}

/// How the patch was made.
#[derive(Clone, Copy)]
pub(super) enum Made {
    /// From the node, as a quarantine makes it.
    Really,
    /// From nothing; it changes nothing.
    Blindly,
}

/// What was heard of a later request.
enum Heard {
    /// An answer.
    Answer(Raw),
    /// None in time, while another was answered.
    Silence(String),
    /// That an earlier link is broken.
    Broken,
}

/// What was found so far: one finding about a link.
#[derive(Default)]
pub(super) struct Findings {
    /// The API server's host and port, where they are known.
    server: Option<String>,
    /// As whom what concerns the node was asked.
    identity: Identity,
    /// Whether replacements are made first.
    makes_first: bool,
    found: BTreeMap<Link, Finding>,
    because: Option<String>,
}

impl Findings {
    pub(super) fn at(server: Option<String>, identity: Identity, makes_first: bool) -> Self {
        Self {
            server,
            identity,
            makes_first,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Why what was not tried was not, where no broken link is the reason.
    pub(super) fn because(&mut self, why: String) {
        self.because = Some(why);
    }

    /// What is bad stays found.
    fn set(&mut self, finding: Finding) {
        let before = self.found.get(&finding.link);
        if before.is_none_or(|before| before.verdict == Verdict::Holds) {
            self.found.insert(finding.link, finding);
        }
    }

    fn hold<const N: usize>(&mut self, links: [Link; N]) {
        for link in links {
            self.set(Finding::holds(link));
        }
    }

    fn is_broken(&self, link: Link) -> bool {
        let found = self.found.get(&link);
        found.is_some_and(|found| matches!(found.verdict, Verdict::Broken { .. }))
    }

    /// A finding about every link.
    pub(super) fn all(mut self) -> Vec<Finding> {
        let broken = LINKS.into_iter().find(|link| self.is_broken(*link));
        let why = match (&self.because, broken) {
            (Some(why), _) => why.clone(),
            (None, Some(link)) => format!("not tried: {link} is broken"),
            (None, None) => "not tried".into(),
        };
        let tried = |link: &Link| *link != Link::Replacement || self.makes_first;
        for link in LINKS.into_iter().filter(tried) {
            let unproven = || Finding::unproven(link, why.clone());
            self.found.entry(link).or_insert_with(unproven);
        }
        self.found.into_values().collect()
    }

    /// What a look-up of the API server's name came to, where there was one.
    pub(super) fn name(&mut self, found: Option<Result<(), String>>) {
        match found {
            Some(Ok(())) => self.hold([Link::NameResolution]),
            Some(Err(why)) => self.set(Finding::broken(Link::NameResolution, why, RESOLVER)),
            None => {}
        }
    }

    /// A request brought no answer.
    fn unanswered(&mut self, error: &CallError) {
        let words = match &self.server {
            Some(server) => format!("{server}: {error}"),
            None => error.to_string(),
        };
        let failure = match error {
            CallError::Transport { failure, .. } => Some(*failure),
            CallError::Timeout(_) | CallError::Status { .. } => None,
        };
        match failure {
            Some(Failure::NameResolution) => {
                self.set(Finding::broken(Link::NameResolution, words, RESOLVER));
            }
            Some(Failure::Certificate(flaw)) => {
                self.hold([Link::NameResolution, Link::Connection]);
                self.set(certificate(flaw, words));
            }
            Some(Failure::Credentials) => {
                self.set(Finding::broken(Link::Credentials, words, TOKEN));
            }
            Some(Failure::Connection) => {
                self.hold([Link::NameResolution]);
                self.set(Finding::broken(Link::Connection, words, ADDRESS));
            }
            None if self.is_broken(Link::NameResolution) => {}
            None => self.set(Finding::broken(Link::Connection, words, ADDRESS)),
        }
    }

    /// What the answer to the GET of the node `name` says; `None` where nothing more can be
    /// tried, or should be.
    pub(super) fn identity(
        &mut self,
        answer: Result<Raw, CallError>,
        name: &str,
        instance: Option<&str>,
    ) -> Option<Node> {
        let raw = match answer {
            Ok(raw) => raw,
            Err(error) => {
                self.unanswered(&error);
                return None;
            }
        };
        let status = Status::of(&raw);
        let words = format!("{} {}", raw.status, status.words(&raw));
        let node = serde_json::from_slice::<NodeFacts>(&raw.body).ok();
        let node = node.filter(|node| raw.status == 200 && !node.uid.is_empty());
        self.hold([Link::NameResolution, Link::Certificate]);
        match (raw.status, &node) {
            (200, Some(_)) | (401 | 403, _) => {}
            (404, _) if status.reason == "NotFound" => {}
            (408 | 429, _) => {
                self.hold([Link::Connection]);
                self.because(format!("not tried: the API server is too busy: {words}"));
                return None;
            }
            (500.., _) => {
                self.set(Finding::broken(Link::Connection, words, SERVER));
                return None;
            }
            _ => {
                let words = format!("what answers is no API server: {words}");
                self.set(Finding::broken(Link::Connection, words, ADDRESS));
                return None;
            }
        }
        self.hold([Link::Connection]);
        if raw.status == 401 || is_anonymous(&raw) {
            self.set(Finding::broken(Link::Credentials, words, TOKEN));
            return None;
        }
        self.hold([Link::Credentials]);
        let Some(node) = node else {
            return Some(self.unread(&raw, name, &words));
        };
        let identity = identify(&node, name, instance);
        let is_another = matches!(identity.verdict, Verdict::Broken { .. });
        self.set(identity);
        (!is_another).then(|| Node::Read(Box::new(node)))
    }

    fn unread(&mut self, raw: &Raw, name: &str, words: &str) -> Node {
        if raw.status == 404 {
            let reason = format!("node {name:?} does not exist in this cluster");
            let remedy = "set --node-name to the name that the node has in the cluster";
            self.set(Finding::broken(Link::Identity, reason, remedy));
            return Node::Missing;
        }
        self.set(Finding::broken(
            Link::Identity,
            format!("not allowed to get nodes: {words}"),
            self.identity.grant(&["get"], "nodes"),
        ));
        Node::Unread
    }

    fn heard(&mut self, answer: Result<Raw, CallError>) -> Heard {
        match answer {
            Ok(raw) if raw.status == 401 => {
                let words = format!("401 {}", Status::of(&raw).words(&raw));
                self.set(Finding::broken(Link::Credentials, words, TOKEN));
                Heard::Broken
            }
            Ok(raw) => Heard::Answer(raw),
            Err(error @ CallError::Transport { .. }) => {
                self.unanswered(&error);
                Heard::Broken
            }
            Err(error) => Heard::Silence(error.to_string()),
        }
    }

    /// What the answer to the patch says; `None` where nothing more can be tried.
    pub(super) fn quarantine(&mut self, answer: Result<Raw, CallError>, made: Made) -> Option<()> {
        let finding = match self.heard(answer) {
            Heard::Answer(raw) => patched(&raw, made),
            Heard::Silence(words) => Finding::broken(Link::Quarantine, words, NODE_ADMISSION),
            Heard::Broken => return None,
        };
        self.set(finding);
        Some(())
    }

    /// The pods of the node; `None` where no eviction can be tried.
    pub(super) fn pods(&mut self, answer: Result<Raw, CallError>) -> Option<Page<PodFacts>> {
        let unlisted = |words: String| {
            let reason = format!("the node's pods could not be listed: {words}");
            Finding::unproven(Link::Eviction, reason)
        };
        let finding = match self.heard(answer) {
            Heard::Answer(raw) => {
                let words = format!("{} {}", raw.status, Status::of(&raw).words(&raw));
                match (raw.status, serde_json::from_slice(&raw.body)) {
                    (200, Ok(pods)) => return Some(pods),
                    (200, Err(error)) => unlisted(error.to_string()),
                    (403, _) => Finding::broken(
                        Link::Eviction,
                        format!("not allowed to list pods: {words}"),
                        self.identity.grant(&["list", "watch"], "pods"),
                    ),
                    _ => unlisted(words),
                }
            }
            // A drain lists from the API server's cache, which may be well.
            Heard::Silence(words) => unlisted(words),
            Heard::Broken => return None,
        };
        self.set(finding);
        None
    }

    /// What the answer to the eviction says. An error is the words of a refusal that may be for
    /// want of a right, of which [`refused`](Self::refused) is to be told more.
    pub(super) fn eviction(
        &mut self,
        answer: Result<Raw, CallError>,
        call: &Call,
    ) -> Option<Result<(), String>> {
        let finding = match self.heard(answer) {
            Heard::Answer(raw) => match evicted(&raw, call) {
                Ok(finding) => finding,
                Err(words) => return Some(Err(words)),
            },
            Heard::Silence(words) => Finding::broken(Link::Eviction, words, POD_ADMISSION),
            Heard::Broken => return None,
        };
        self.set(finding);
        Some(Ok(()))
    }

    /// The eviction was refused: what the answer to the access review says of it.
    pub(super) fn refused(
        &mut self,
        answer: Result<Raw, CallError>,
        call: &Call,
        words: &str,
    ) -> Option<()> {
        let allowed = match self.heard(answer) {
            Heard::Answer(raw) => reviewed(&raw),
            Heard::Silence(_) => None,
            Heard::Broken => return None,
        };
        self.set(match allowed {
            Some(true) => one_pod(call, words),
            Some(false) | None => self.forbidden(words),
        });
        Some(())
    }

    /// What the answer to the access review says.
    pub(super) fn review(&mut self, answer: Result<Raw, CallError>) -> Option<()> {
        let no_pod = |words: String| {
            let reason = format!("no pod on the node to try, and no access review: {words}");
            Finding::unproven(Link::Eviction, reason)
        };
        let finding = match self.heard(answer) {
            Heard::Answer(raw) => match reviewed(&raw) {
                Some(true) => Finding::holds(Link::Eviction),
                Some(false) => self.forbidden("an access review says so"),
                None => no_pod(format!("{} {}", raw.status, Status::of(&raw).words(&raw))),
            },
            Heard::Silence(words) => no_pod(words),
            Heard::Broken => return None,
        };
        self.set(finding);
        Some(())
    }

    fn forbidden(&self, words: &str) -> Finding {
        Finding::broken(
            Link::Eviction,
            format!("not allowed to create pods/eviction: {words}"),
            self.identity.grant(&["create"], "pods/eviction"),
        )
    }
}

fn certificate(flaw: Flaw, words: String) -> Finding {
    let remedy = match flaw {
        Flaw::Expired => "renew the API server's certificate, or set this machine's clock",
        Flaw::NotYetValid => "set this machine's clock, or the API server's certificate anew",
        Flaw::UnknownIssuer => {
            "trust the authority that signed the API server's certificate: look at \
             `certificate-authority` of the kubeconfig, or at the mount of ca.crt"
        }
        Flaw::OtherName => {
            "reach the API server by a name of its certificate, or name one in \
             `tls-server-name` of the kubeconfig"
        }
        Flaw::Other => "give the API server a certificate that can be verified",
        Flaw::Ours => {
            "renew the client certificate: look at `client-certificate` of the kubeconfig"
        }
    };
    Finding::broken(Link::Certificate, words, remedy)
}

/// Whether the API server takes us for nobody. A 403 says so in its words alone.
fn is_anonymous(raw: &Raw) -> bool {
    let anonymous = |words: &str| words.contains("User \"system:anonymous\"");
    raw.status == 403 && anonymous(&Status::of(raw).words(raw))
}

fn identify(node: &NodeFacts, name: &str, instance: Option<&str>) -> Finding {
    match (node.instance(), instance) {
        (Some(found), Some(ours)) if found == ours => Finding::holds(Link::Identity),
        (Some(found), Some(ours)) => Finding::broken(
            Link::Identity,
            format!("node {name:?} is instance {found}, but this program runs on {ours}"),
            "run the handler on the node that it is told to look after",
        ),
        (None, _) => Finding::unproven(Link::Identity, "the node has no spec.providerID"),
        (_, None) => Finding::unproven(Link::Identity, "the instance that we run on is not known"),
    }
}

fn patched(raw: &Raw, made: Made) -> Finding {
    let link = Link::Quarantine;
    let status = Status::of(raw);
    let words = format!("{} {}", raw.status, status.words(raw));
    match raw.status {
        200 => match made {
            Made::Really => Finding::holds(link),
            Made::Blindly => Finding::unproven(
                link,
                "the node cannot be read, so its patch cannot be made; an empty one is allowed",
            ),
        },
        403 => Finding::broken(
            link,
            format!("not allowed to patch nodes: {words}"),
            "grant `patch` on `nodes` to the handler's account, and let admission policies for \
             `nodes` take its patch",
        ),
        404 | 409 => Finding::unproven(link, format!("somebody else wrote the node: {words}")),
        // A `test` of the patch that fails is about no object.
        422 if !status.is_about_an_object() => {
            Finding::unproven(link, format!("somebody else wrote the node: {words}"))
        }
        400 if status.is_no_dry_run() => Finding::unproven(link, words),
        408 | 429 | 501.. => Finding::unproven(link, words),
        // So an API server says that a webhook failed.
        500 => Finding::broken(link, words, NODE_ADMISSION),
        _ => Finding::broken(link, format!("refused: {words}"), NODE_ADMISSION),
    }
}

/// What is refused of this one pod proves nothing about the others.
fn one_pod(
    Call {
        namespace, name, ..
    }: &Call,
    words: &str,
) -> Finding {
    let reason = format!("the eviction of {namespace}/{name} was refused: {words}");
    Finding::unproven(Link::Eviction, reason)
}

/// What is answered to an eviction behind its authorization shows that we may. An error is the
/// words of a refusal that may come from either.
fn evicted(raw: &Raw, call: &Call) -> Result<Finding, String> {
    let link = Link::Eviction;
    Ok(match decode(raw) {
        Reply::Accepted
        // A budget answers.
        | Reply::BudgetClosed(_)
        | Reply::Misconfigured { .. }
        | Reply::NamespaceTerminating
        // The pod is looked for when we were found to be allowed; it went meanwhile.
        | Reply::Gone
        | Reply::Conflict => Finding::holds(link),
        Reply::Forbidden { words } => return Err(format!("403 {words}")),
        Reply::Overloaded { .. } => {
            Finding::unproven(link, "the API server is too busy: 429")
        }
        // About this one pod, or about dry runs.
        Reply::Denied { status, words } => one_pod(call, &format!("{status} {words}")),
        // So an API server says that a webhook failed; one that denies names no reason.
        Reply::Unclear { what } if Status::of(raw).reason == "InternalError" => {
            Finding::broken(link, what, POD_ADMISSION)
        }
        Reply::Unclear { what } | Reply::Lost { what } => Finding::unproven(link, what),
        // Heard of before it comes to this.
        Reply::Unauthorized => Finding::broken(link, "401", TOKEN),
    })
}

fn reviewed(raw: &Raw) -> Option<bool> {
    let answer: Value = serde_json::from_slice(&raw.body).ok()?;
    answer["status"]["allowed"].as_bool()
}
