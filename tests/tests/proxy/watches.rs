//! Watches through the proxy.

use spot_drain::sim::{Injection, WatchFault};
use spot_tests::Result;
use tokio::time::{Instant, timeout};

use crate::setting::{Lines, Setting};
use crate::{A_MOMENT, millis};

#[tokio::test]
async fn a_watch_streams() -> Result<()> {
    let setting = Setting::new().await?;
    let mut lines = Lines::open(&setting).await?;
    assert_eq!(lines.next().await.unwrap().unwrap()["type"], "ADDED");
    setting.label("one").await?;
    assert_eq!(lines.label().await.as_deref(), Some("one"));
    Ok(())
}

#[tokio::test]
async fn a_watch_ends_as_it_is_told() -> Result<()> {
    let after = Some(millis(100));
    let none = WatchFault::default;
    let ends = [
        (
            WatchFault {
                closed_after: after,
                ..none()
            },
            "closed",
        ),
        (
            WatchFault {
                reset_after: after,
                ..none()
            },
            "reset",
        ),
        (
            WatchFault {
                expired_after: after,
                ..none()
            },
            "expired",
        ),
    ];
    for (watch, how) in ends {
        let setting = Setting::with(Injection {
            watch,
            ..Injection::none()
        })
        .await?;
        let mut lines = Lines::open(&setting).await?;
        assert!(lines.next().await.unwrap().is_ok());
        match (how, lines.next().await) {
            ("closed", None) | ("reset", Some(Err(_))) => {}
            ("expired", Some(Ok(line))) => {
                assert_eq!(line["type"], "ERROR");
                assert_eq!(line["object"]["code"], 410);
                assert!(lines.next().await.is_none());
            }
            (_, other) => panic!("{how}: {other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_watch_stays_open_and_says_nothing() -> Result<()> {
    let watch = WatchFault {
        silent_after: Some(millis(50)),
        ..WatchFault::default()
    };
    let setting = Setting::with(Injection {
        watch,
        ..Injection::none()
    })
    .await?;
    let mut lines = Lines::open(&setting).await?;
    assert!(lines.next().await.unwrap().is_ok());
    tokio::time::sleep(millis(60)).await;
    setting.label("unheard").await?;
    assert!(timeout(A_MOMENT, lines.next()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn events_come_late_each_by_as_much_or_twice() -> Result<()> {
    let late = WatchFault {
        late: millis(500),
        ..WatchFault::default()
    };
    let setting = Setting::with(Injection {
        watch: late,
        ..Injection::none()
    })
    .await?;
    let mut lines = Lines::open(&setting).await?;
    assert!(lines.next().await.unwrap().is_ok());
    let began = Instant::now();
    let labels = ["one", "two", "three", "four", "five"];
    for label in labels {
        setting.label(label).await?;
    }
    for label in labels {
        assert_eq!(lines.label().await.as_deref(), Some(label));
    }
    // One after the other they would take five times as long.
    let took = began.elapsed();
    assert!(took >= millis(500) && took < millis(2000), "{took:?}");

    let twice = WatchFault {
        twice: true,
        ..WatchFault::default()
    };
    let setting = Setting::with(Injection {
        watch: twice,
        ..Injection::none()
    })
    .await?;
    let mut lines = Lines::open(&setting).await?;
    let (first, second) = (lines.next().await, lines.next().await);
    assert_eq!(first, second);
    Ok(())
}
