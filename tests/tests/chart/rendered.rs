//! What the chart renders: the plain manifests, and every option of the binary.

use std::collections::BTreeSet;

use serde_json::Value;
use spot_tests::{
    Result,
    deploy::{
        self, Manifests,
        chart::{self, Render},
    },
    handler,
    process::output,
};

#[tokio::test]
async fn it_is_linted_without_a_complaint_with_all_values_of_ci() -> Result<()> {
    for file in chart::ci_values()? {
        let said = chart::lint(&file).await?;
        assert!(said.contains("0 chart(s) failed"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_plain_manifests_are_what_it_renders() -> Result<()> {
    for manifests in Manifests::ALL {
        let kept = std::fs::read_to_string(manifests.path()).unwrap();
        let rendered = chart::manifests(manifests).await?;
        assert!(
            kept == rendered,
            "{}: write it anew by `cargo run -p spot-tests --bin deploy`",
            manifests.path().display()
        );
    }
    Ok(())
}

/// The options of `run`, as the binary that ships lists them.
pub(crate) async fn options() -> Result<BTreeSet<String>> {
    let binary = handler::binary().await?;
    let said = output(binary, |run| {
        run.args(["run", "--help"]);
    });
    let help = String::from_utf8(said.unwrap().stdout).unwrap();
    let mut options = BTreeSet::new();
    for line in help.lines().map(str::trim_start) {
        let line = line.strip_prefix("-h, ").unwrap_or(line);
        let Some(rest) = line.strip_prefix("--") else {
            continue;
        };
        let name = rest.split([' ', '<', '[']).next().unwrap();
        options.insert(name.to_owned());
    }
    options.remove("help");
    Ok(options)
}

/// The options that a rendered container gives, by argument or by environment.
fn given(objects: &[Value]) -> BTreeSet<String> {
    let arguments = chart::arguments(objects);
    let flags = arguments.iter().filter_map(|arg| arg.strip_prefix("--"));
    let mut given: BTreeSet<String> = flags
        .map(|flag| flag.split('=').next().unwrap().to_owned())
        .collect();
    let set = objects
        .iter()
        .find(|object| object["kind"] == "DaemonSet")
        .unwrap();
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        given.insert(name.to_lowercase().replace('_', "-"));
    }
    given
}

#[tokio::test]
async fn every_option_of_the_daemon_can_be_given() -> Result<()> {
    let options = options().await?;
    assert!(options.len() >= 24, "{options:?}");
    let mut reached = BTreeSet::new();
    for name in ["every-option-values.yaml", "webhook-url-values.yaml"] {
        let values = chart::dir().join("ci").join(name);
        let objects = Render::of(chart::CURRENT).values(&values).objects().await?;
        reached.extend(given(&objects));
    }
    let unreached: Vec<_> = options.difference(&reached).collect();
    assert!(unreached.is_empty(), "{unreached:?}");
    let made_up: Vec<_> = reached.difference(&options).collect();
    assert_eq!(made_up, ["rust-backtrace"], "an option that there is not");
    Ok(())
}

/// The binary takes what the chart gives it: every argument list, by a dry run of its parser.
#[tokio::test]
async fn the_binary_takes_every_list_of_arguments() -> Result<()> {
    let binary = handler::binary().await?;
    for file in chart::ci_values()? {
        let objects = Render::of(chart::CURRENT).values(&file).objects().await?;
        let arguments = chart::arguments(&objects);
        // It parses all of them before it sees that this one is none.
        let said = output(binary, |run| {
            run.args(&arguments).arg("--no-such-option");
        });
        let said = String::from_utf8(said.unwrap().stderr).unwrap();
        assert!(said.contains("--no-such-option"), "{said}");
        assert_eq!(said.matches("--").count(), 1, "it stumbled earlier: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn it_is_as_strict_as_it_says() -> Result<()> {
    for file in chart::ci_values()? {
        let objects = Render::of(chart::CURRENT).values(&file).objects().await?;
        let set = objects
            .iter()
            .find(|object| object["kind"] == "DaemonSet")
            .unwrap();
        let pod = &set["spec"]["template"]["spec"];
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(
            container["capabilities"]["drop"],
            serde_json::json!(["ALL"])
        );
        let volumes = pod["volumes"].as_array().into_iter().flatten();
        let host: Vec<_> = volumes
            .filter(|volume| !volume["hostPath"].is_null())
            .collect();
        assert!(host.is_empty(), "{host:?}");
        let on_host = file.ends_with("host-network-values.yaml");
        assert_eq!(pod["hostNetwork"] == true, on_host);
    }
    let manifests = Manifests::Current.object("DaemonSet")?;
    let selector = &manifests["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(selector["lifecycle"], "Ec2Spot");
    assert_eq!(manifests["metadata"]["name"], deploy::NAME);
    Ok(())
}

/// What is left to the binary is granted as the binary does it.
#[tokio::test]
async fn events_may_be_written_unless_they_are_switched_off() -> Result<()> {
    for (value, granted) in [("null", true), ("true", true), ("false", false)] {
        let render = Render::of(chart::CURRENT).set(&format!("handler.kubernetesEvents={value}"));
        let objects = render.objects().await?;
        let role = objects.iter().find(|o| o["kind"] == "ClusterRole").unwrap();
        let about = |rule: &&Value| rule["resources"][0] == "events";
        let rules = role["rules"].as_array().unwrap();
        assert_eq!(rules.iter().find(about).is_some(), granted, "{value}");
        let off = chart::arguments(&objects).contains(&"--kubernetes-events=false".to_owned());
        assert_eq!(off, !granted, "{value}");
    }
    Ok(())
}

/// The only right that one value adds.
#[tokio::test]
async fn pods_may_be_deleted_only_where_that_is_asked_for() -> Result<()> {
    for version in [chart::CURRENT, chart::BEFORE] {
        let render = |policy: &str| Render::of(version).set(&format!("handler.pdb={policy:?}"));
        let verbs = async |policy: &str| -> Result<Vec<Value>> {
            let objects = render(policy).objects().await?;
            let role = objects.iter().find(|o| o["kind"] == "ClusterRole").unwrap();
            let rules = role["rules"].as_array().unwrap().iter();
            let all = rules.flat_map(|rule| rule["verbs"].as_array().unwrap().clone());
            Ok(all.collect())
        };
        let (respect, delete) = (verbs("respect").await?, verbs("delete-at").await?);
        let more: Vec<_> = delete
            .iter()
            .filter(|verb| !respect.contains(verb))
            .collect();
        let expected = match version {
            chart::CURRENT => "impersonate-on:associated-node:delete",
            _ => "delete",
        };
        assert_eq!(more, [expected]);
        assert_eq!(delete.len(), respect.len() + 1);
    }
    Ok(())
}

fn rights(objects: &[Value]) -> BTreeSet<String> {
    let role = objects.iter().find(|o| o["kind"] == "ClusterRole").unwrap();
    let rules = role["rules"].as_array().unwrap().iter();
    let rights = rules.flat_map(|rule| {
        let verbs = rule["verbs"].as_array().unwrap().iter();
        let resource = rule["resources"][0].as_str().unwrap();
        verbs.map(move |verb| format!("{} {resource}", verb.as_str().unwrap()))
    });
    rights.collect()
}

/// Make before break has its own rights and its own policy, where it is switched on. Without quotes
/// YAML reads `on` and `off` as booleans.
#[tokio::test]
async fn pods_may_be_changed_only_where_replacements_are_made_first() -> Result<()> {
    let own = [
        "get deployments",
        "get replicasets",
        "patch pods",
        "watch replicasets",
    ];
    let policy = |objects: &[Value]| {
        let name = format!("{}-pods", deploy::NAME);
        let named = objects.iter().filter(|o| o["metadata"]["name"] == *name);
        let kinds: Vec<String> = named
            .map(|o| o["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds
    };
    for version in [chart::CURRENT, chart::BEFORE] {
        let without = rights(&Render::of(version).objects().await?);
        for (value, mode) in [
            ("null", None),
            ("\"\"", None),
            ("false", Some("off")),
            ("\"off\"", Some("off")),
            ("\"annotated\"", Some("annotated")),
            ("\"on\"", Some("on")),
            ("true", Some("on")),
        ] {
            let render = Render::of(version).set(&format!("handler.makeBeforeBreak={value}"));
            let objects = render.objects().await?;
            let arguments = chart::arguments(&objects);
            let given = arguments
                .iter()
                .find_map(|argument| argument.strip_prefix("--make-before-break="));
            assert_eq!(given, mode, "{value}");
            let is_on = !matches!(mode, None | Some("off"));
            let with = rights(&objects);
            let more: Vec<&String> = with.difference(&without).collect();
            assert_eq!(more, if is_on { &own[..] } else { &[] }, "{value}");
            assert!(without.is_subset(&with), "{value}");
            let kinds = policy(&objects);
            let expected = [
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
            ];
            assert_eq!(kinds, if is_on { &expected[..] } else { &[] }, "{value}");
        }
    }
    Ok(())
}
