//! The user data, run by bash on instances of either life cycle and either image.

use serde_json::{Value, json};
use spot_tests::{
    Result,
    eks::{
        machine::{Booted, INSTANCE, Image, Machine},
        template::Template,
    },
};

const CLUSTER: (&str, &str) = ("ClusterName", "workshop");
const SPOT: &str = "--node-labels=lifecycle=Ec2Spot \
                    --register-with-taints=spotInstance=true:PreferNoSchedule";
const ON_DEMAND: &str = "--node-labels=lifecycle=OnDemand";
const INSTANCES: &str = "ec2 describe-instances";

/// Boots with `BootstrapArgumentsForSpotFleet` set, unless that is none, or else the default.
async fn boot(machine: Machine, arguments: Option<&str>) -> Result<Booted> {
    let template = Template::read().await?;
    let mut set = vec![CLUSTER];
    set.extend(arguments.map(|arguments| ("BootstrapArgumentsForSpotFleet", arguments)));
    machine.boot(&template.user_data(&set)?).await
}

fn spot(image: Image) -> Result<Machine> {
    Machine::new(image)?.metadata("instance-life-cycle", "spot")
}

/// The words that `bootstrap.sh` was called with, the one time that it was.
fn bootstrapped(booted: &Booted) -> &[String] {
    assert_eq!(booted.code, Some(0), "{}", booted.said);
    let calls = booted.calls_of("bootstrap.sh");
    assert_eq!(calls.len(), 1, "{:?}", booted.calls);
    calls[0]
}

/// The document that lets the node join, which `nodeadm` reads later.
fn node_config(booted: &Booted) -> Result<Value> {
    assert_eq!(booted.code, Some(0), "{}", booted.said);
    assert!(booted.calls_of("bootstrap.sh").is_empty());
    assert!(booted.calls_of("nodeadm").is_empty());
    booted.document()
}

/// What it did not do, and why.
fn refused(booted: &Booted, why: &str) {
    assert_ne!(booted.code, Some(0));
    assert!(booted.said.contains(why), "{}", booted.said);
    assert!(booted.calls_of("bootstrap.sh").is_empty());
    assert!(!booted.document.exists());
}

#[tokio::test]
async fn the_metadata_decides_and_no_api_is_asked() -> Result<()> {
    for (life_cycle, arguments) in [
        ("spot", SPOT),
        ("on-demand", ON_DEMAND),
        ("scheduled", ON_DEMAND),
    ] {
        let machine = Machine::new(Image::Al2)?.metadata("instance-life-cycle", life_cycle)?;
        let booted = boot(machine, None).await?;
        assert_eq!(
            bootstrapped(&booted),
            ["workshop", "--kubelet-extra-args", arguments]
        );
        assert!(booted.calls_of("aws").is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn where_the_metadata_lacks_it_the_api_is_asked_until_it_knows_the_instance() -> Result<()> {
    for (life_cycle, arguments) in [("spot\n", SPOT), ("None\n", ON_DEMAND)] {
        let machine = Machine::new(Image::Al2)?
            .api(INSTANCES, life_cycle)?
            .refusals(INSTANCES, 2)?;
        let booted = boot(machine, None).await?;
        assert_eq!(bootstrapped(&booted)[2], arguments);
        let asked = booted.calls_of("aws");
        assert_eq!(asked.len(), 3);
        for words in [
            ["--region", "us-east-2"],
            ["--instance-ids", INSTANCE],
            ["--cli-connect-timeout", "5"],
        ] {
            assert!(asked[2].windows(2).any(|pair| pair == words), "{asked:?}");
        }
        assert_eq!(booted.calls_of("sleep"), [["2"], ["4"]]);
    }
    Ok(())
}

#[tokio::test]
async fn where_nothing_answers_the_node_is_taken_for_spot_and_says_so() -> Result<()> {
    for (machine, asked) in [
        (Machine::new(Image::Al2)?, 4),
        (Machine::new(Image::Al2)?.without_metadata()?, 0),
    ] {
        let booted = boot(machine, None).await?;
        assert_eq!(bootstrapped(&booted)[2], SPOT);
        assert_eq!(booted.calls_of("aws").len(), asked);
        assert!(
            booted.said.contains("life cycle unknown"),
            "{}",
            booted.said
        );
    }
    Ok(())
}

#[tokio::test]
async fn words_stay_words_whatever_is_in_them() -> Result<()> {
    let cases: [(&str, &[&str]); 5] = [
        ("", &[]),
        ("  --use-max-pods   false  ", &["--use-max-pods", "false"]),
        (
            r#"--kubelet-extra-args "--node-labels=a=b --v=4" --x '' "it's""#,
            &[
                "--kubelet-extra-args",
                "--node-labels=a=b --v=4",
                "--x",
                "",
                "it's",
            ],
        ),
        (
            r#"--docker-config-json '{"bridge": "none", "log": "$(date) \ `id`"}'"#,
            &[
                "--docker-config-json",
                r#"{"bridge": "none", "log": "$(date) \ `id`"}"#,
            ],
        ),
        ("* ? [a-z]*", &["*", "?", "[a-z]*"]),
    ];
    for (arguments, words) in cases {
        let booted = boot(spot(Image::Al2)?, Some(arguments)).await?;
        assert_eq!(bootstrapped(&booted)[1..], *words, "{arguments}");
    }
    Ok(())
}

#[tokio::test]
async fn nodeadm_gets_the_same_labels_and_taints_as_bootstrap_sh() -> Result<()> {
    let template = Template::read().await?;
    let set = [
        CLUSTER,
        ("ApiServerEndpoint", "https://a.example"),
        ("CertificateAuthorityData", "Q0E="),
        ("ServiceCidr", "fd00:1::/108"),
    ];
    for (life_cycle, arguments) in [("spot", SPOT), ("on-demand", ON_DEMAND)] {
        let machine = Machine::new(Image::Al2023)?.metadata("instance-life-cycle", life_cycle)?;
        let booted = machine.boot(&template.user_data(&set)?).await?;
        let flags: Vec<_> = arguments.split(' ').collect();
        let version = "node.eks.aws/v1alpha1";
        let document =
            |spec: Value| json!({"apiVersion": version, "kind": "NodeConfig", "spec": spec});
        assert_eq!(
            booted.first_document,
            document(json!({
                "cluster": {
                    "name": "workshop",
                    "apiServerEndpoint": "https://a.example",
                    "certificateAuthority": "Q0E=",
                    "cidr": "fd00:1::/108",
                },
                // Without the other document the node does not join.
                "kubelet": {"config": {"registerNode": false}},
            }))
        );
        assert_eq!(
            node_config(&booted)?,
            document(json!({"kubelet": {"config": {"registerNode": true}, "flags": flags}}))
        );
        assert!(booted.calls_of("aws").is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn odd_flags_and_names_keep_the_documents_what_they_are() -> Result<()> {
    let template = Template::read().await?;
    // Quotes inside quotes are for the kubelet's own splitting; an apostrophe, a colon with a
    // space; a name that YAML would take for a number.
    let cases = [
        (
            r#"'--v=4 --x="a b"  --y="c d"'"#,
            vec!["--v=4", "--x=a b", "--y=c d"],
        ),
        (
            r#"'--a="it'"'"'s: b" --c=[d]'"#,
            vec!["--a=it's: b", "--c=[d]"],
        ),
    ];
    for (arguments, flags) in cases {
        let arguments =
            format!("--dns-cluster-ip fd00:1::a,10.0.0.10 --kubelet-extra-args {arguments}");
        let set = [
            ("ClusterName", "1e3"),
            ("BootstrapArgumentsForSpotFleet", arguments.as_str()),
        ];
        let booted = spot(Image::Al2023)?
            .boot(&template.user_data(&set)?)
            .await?;
        assert_eq!(booted.first_document["spec"]["cluster"]["name"], "1e3");
        let kubelet = &node_config(&booted)?["spec"]["kubelet"];
        assert_eq!(kubelet["flags"], json!(flags));
        assert_eq!(
            kubelet["config"]["clusterDNS"],
            json!(["fd00:1::a", "10.0.0.10"])
        );
    }
    let config = node_config(&boot(spot(Image::Al2023)?, Some("")).await?)?;
    assert_eq!(
        config["spec"]["kubelet"],
        json!({"config": {"registerNode": true}})
    );
    Ok(())
}

#[tokio::test]
async fn what_nodeadm_cannot_be_told_keeps_the_node_out_and_is_named() -> Result<()> {
    for (arguments, why) in [
        ("--use-max-pods false", "--use-max-pods"),
        ("workshop --kubelet-extra-args --v=4", "workshop"),
        ("--kubelet-extra-args", "has no value"),
        ("--kubelet-extra-args \"--v='4\"", "unmatched"),
    ] {
        refused(&boot(spot(Image::Al2023)?, Some(arguments)).await?, why);
    }
    refused(
        &boot(spot(Image::OldAl2023)?, None).await?,
        "take a newer one",
    );
    Ok(())
}
