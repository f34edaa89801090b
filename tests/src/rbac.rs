//! What a handler may do, as rules that a test can take one out of.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams},
};

use crate::{
    Result,
    control_plane::HANDLERS,
    deploy::{self, Manifests},
    error::Context as _,
};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Who is given rights.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// All users of a group.
    Group(&'a str),
    /// One user.
    User(&'a str),
}

/// What a handler needs that impersonates nobody: the rules of `deploy/manifests` for servers that
/// cannot be asked as the node. One resource per rule.
///
/// # Errors
/// When the manifest cannot be read.
pub fn handler_rules() -> Result<Vec<PolicyRule>> {
    let role: ClusterRole = deploy::typed(Manifests::Before136.object("ClusterRole")?)?;
    Ok(role.rules.unwrap_or_default())
}

/// What `--pdb delete-at` needs besides.
pub fn delete_at_rule() -> PolicyRule {
    rule("", "pods", &["delete"])
}

/// What `--make-before-break` needs besides.
pub fn make_before_break_rules() -> Vec<PolicyRule> {
    [
        ("", "pods", &["patch"][..]),
        ("apps", "replicasets", &["get", "watch"]),
        ("apps", "deployments", &["get"]),
    ]
    .map(|(group, resource, verbs)| rule(group, resource, verbs))
    .into()
}

/// `rules` without one verb on one resource (`pods/eviction` is a resource of its own).
#[must_use]
pub fn without(rules: Vec<PolicyRule>, verb: &str, resource: &str) -> Vec<PolicyRule> {
    rules
        .into_iter()
        .map(|mut rule| {
            if rule.resources.as_deref() == Some(&[resource.to_owned()]) {
                rule.verbs.retain(|allowed| allowed != verb);
            }
            rule
        })
        .filter(|rule| !rule.verbs.is_empty())
        .collect()
}

/// Gives a handler's rights to all handler users. Safe to call from many tests at once.
///
/// # Errors
/// When the API server refuses.
pub async fn allow_handlers(admin: &Client) -> Result<()> {
    allow(
        admin,
        "spot-tests-handlers",
        Who::Group(HANDLERS),
        handler_rules()?,
    )
    .await
}

/// Gives `rules` to `who`, under `name` (which replaces what was given under that name).
///
/// For a user with fewer rights than a handler has, take one outside the group:
/// [`ControlPlane::take_plain_user`](crate::control_plane::ControlPlane::take_plain_user).
///
/// # Errors
/// When the API server refuses.
pub async fn allow(admin: &Client, name: &str, who: Who<'_>, rules: Vec<PolicyRule>) -> Result<()> {
    let force = PatchParams::apply("spot-tests").force();
    let metadata = ObjectMeta {
        name: Some(name.into()),
        ..ObjectMeta::default()
    };
    let role = ClusterRole {
        metadata: metadata.clone(),
        rules: Some(rules),
        ..ClusterRole::default()
    };
    let (kind, subject) = match who {
        Who::Group(group) => ("Group", group),
        Who::User(user) => ("User", user),
    };
    let binding = ClusterRoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: Some(RBAC.into()),
            kind: "ClusterRole".into(),
            name: name.into(),
        },
        subjects: Some(vec![Subject {
            api_group: Some(RBAC.into()),
            kind: kind.into(),
            name: subject.into(),
            ..Subject::default()
        }]),
    };
    Api::<ClusterRole>::all(admin.clone())
        .patch(name, &force, &Patch::Apply(role))
        .await
        .context(format!("cluster role {name}"))?;
    Api::<ClusterRoleBinding>::all(admin.clone())
        .patch(name, &force, &Patch::Apply(binding))
        .await
        .context(format!("cluster role binding {name}"))?;
    Ok(())
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.into()]),
        resources: Some(vec![resource.into()]),
        verbs: verbs.iter().map(ToString::to_string).collect(),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_verbs_is_gone() {
        let all = handler_rules().unwrap();
        let rules = without(all.clone(), "create", "pods/eviction");
        assert_eq!(rules.len(), all.len() - 1);
        let rules = without(all, "patch", "nodes");
        assert_eq!(rules[0].verbs, ["get"]);
    }
}
