//! Why nothing is heard, as a type: not on EC2, unreachable, refused, overloaded, garbled.

use std::time::Duration;

use spot_core::notice::{Instance, LifeCycle, Signal, SourceHealth, Trouble};
use spot_core::source::NoticeSource;
use spot_imds::hardware::Hardware;

use crate::ear::{Ear, hear, names};
use crate::fake::{ASG, Answer, Fake, MAINTENANCE};

const SECOND: Duration = Duration::from_secs(1);

fn source(fake: &Fake, hardware: Hardware) -> Ear {
    Ear::new(fake.builder().hardware(hardware).build().unwrap())
}

fn other() -> Hardware {
    Hardware::judge(Some("LENOVO"), None)
}

/// The first trouble that is told within a while.
async fn trouble(source: &mut impl NoticeSource) -> (Trouble, String) {
    let heard = hear(source, 30 * SECOND).await;
    let failing = heard.into_iter().find_map(|signal| match signal {
        Signal::Health(SourceHealth::Failing { trouble, reason }) => Some((trouble, reason)),
        _ => None,
    });
    failing.unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_error_is_a_kind_of_trouble() {
    for (answer, expected) in [
        (Answer::Refused, Trouble::Unreachable),
        (Answer::BlackHole, Trouble::Unreachable),
        (Answer::status(401), Trouble::Refused),
        (Answer::status(403), Trouble::Refused),
        (Answer::status(429), Trouble::Overloaded),
        (Answer::status(503), Trouble::Overloaded),
        (Answer::status(500), Trouble::Garbled),
        (Answer::status(302), Trouble::Garbled),
        (Answer::ok("<html>"), Trouble::Garbled),
    ] {
        for path in ["spot/instance-action", ASG, MAINTENANCE] {
            let fake = Fake::new();
            fake.set(path, answer.clone());
            let (trouble, reason) = trouble(&mut source(&fake, other())).await;
            assert_eq!(trouble, expected, "{answer:?}");
            assert!(reason.contains(path), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_laptop_is_told_from_an_instance_that_cannot_reach_its_metadata() {
    for silence in [Answer::BlackHole, Answer::Refused] {
        for (hardware, expected) in [
            (other(), Trouble::NotHere),
            (Hardware::Ec2, Trouble::Unreachable),
            (Hardware::Unknown, Trouble::Unreachable),
        ] {
            let fake = Fake::new();
            fake.all(&silence);
            let (trouble, reason) = trouble(&mut source(&fake, hardware.clone())).await;
            assert_eq!(trouble, expected, "{hardware:?}");
            let named = reason.contains("made by \"LENOVO\", not by EC2");
            assert_eq!(named, hardware == other(), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_once_is_here_whatever_the_hardware() {
    let fake = Fake::new();
    let mut source = source(&fake, other());
    let heard = hear(&mut source, 5 * SECOND).await;
    assert_eq!(names(&heard), ["identified", "good"]);
    fake.all(&Answer::Refused);
    assert_eq!(trouble(&mut source).await.0, Trouble::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn another_cloud_s_metadata_service_is_known_by_its_replies() {
    let google = Fake::new();
    google.flavor("Google");
    let strangers = [404, 405].map(|status| {
        let fake = Fake::new();
        fake.set("token", Answer::status(status));
        fake
    });
    for fake in strangers.iter().chain([&google]) {
        for (hardware, expected) in [
            (Hardware::Unknown, Trouble::NotHere),
            (other(), Trouble::NotHere),
            // Then it is a proxy.
            (Hardware::Ec2, Trouble::Garbled),
        ] {
            let (trouble, reason) = trouble(&mut source(fake, hardware)).await;
            assert_eq!(trouble, expected, "{reason}");
            assert!(reason.contains("is no EC2 metadata service"), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_on_demand_says_so_and_is_polled_for_what_may_befall_it() {
    let fake = Fake::new();
    for (told, expected) in [
        ("on-demand", LifeCycle::OnDemand),
        ("spot", LifeCycle::Spot),
        ("scheduled", LifeCycle::Other("scheduled".into())),
    ] {
        fake.set("instance-life-cycle", Answer::ok(told));
        let heard = hear(&mut fake.source(), SECOND).await;
        let Signal::Identified(Instance { life_cycle, .. }) = &heard[0] else {
            panic!("{heard:?}")
        };
        assert_eq!(*life_cycle, Some(expected));
        assert_eq!(names(&heard), ["identified", "good"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_named_nowhere() {
    let fake = Fake::new();
    fake.set(
        "dynamic/instance-identity/document",
        Answer::ok(r#"{"accountId":"SECRET","pendingTime":"SECRET"}"#),
    );
    let error = fake.client().launched().await.unwrap_err();
    let heard = hear(&mut fake.source(), 60 * SECOND).await;
    for text in [error.report(), format!("{error:?}"), format!("{heard:?}")] {
        assert!(!text.contains("SECRET"), "{text}");
    }
    let Signal::Identified(instance) = &heard[0] else {
        panic!("{heard:?}")
    };
    assert_eq!(instance.launched, None);
    assert_eq!(names(&heard), ["identified", "good"]);
}
