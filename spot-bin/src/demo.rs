//! `demo`: the daemon's own code path on both simulators, watched until the pods are back.

mod scene;
mod view;

use std::time::Duration;

use clap::Parser;
use spot_core::observer::{Event, Observer, Occurrence};
use spot_drain::args::DrainArgs;
use spot_drain::cluster::Cluster;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval};

use crate::exit::{Exit, chain};
use crate::run::{self, compose, drainer};
use scene::{DOOMED, Scene};
use view::View;

/// How often the cluster is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The longest that the demo goes on, should something hang.
const LONGEST: Duration = Duration::from_secs(60);

/// The arguments of the daemon, as far as the demo needs them.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    drain: DrainArgs,
}

/// Hands events on to the view.
struct Tell(mpsc::UnboundedSender<Event>);

impl Observer for Tell {
    fn on(&self, event: &Event) {
        // The view is gone only when the demo is over.
        let _ = self.0.send(event.clone());
    }
}

/// Runs the demo to its end.
pub(crate) async fn demo() -> Result<(), Exit> {
    let start = Instant::now();
    let scene = Scene::new(start);
    let source = scene.source().map_err(|e| Exit::bug(chain(&e)))?;
    let args = Args::try_parse_from(["demo", "--node-name", DOOMED]);
    let args = args.map_err(|e| Exit::bug(e.to_string()))?;
    let (tell, mut events) = mpsc::unbounded_channel();
    let cluster = Cluster::from_client(scene.sim.client());
    let handler = compose(
        source,
        &cluster,
        drainer(&cluster, &args.drain),
        &args.drain,
    )
    .observer(Tell(tell))
    .build();

    let (stop, stopped) = oneshot::channel::<()>();
    let mut running = std::pin::pin!(handler.run(async {
        let _ = stopped.await;
    }));
    let mut alive = std::pin::pin!(scene.sim.run());
    let mut look = interval(LOOK);
    let mut view = View::new(start);
    view.begin();
    let mut report = None;
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                view.event(&event);
                if let Occurrence::DrainFinished(finished) = event.what {
                    report = Some(finished);
                }
            }
            ended = &mut running => return ended.map_err(|error| run::ended_by(&error)),
            never = &mut alive => match never {},
            _ = look.tick() => {
                let state = scene.look();
                view.state(&state);
                let back = report.is_some() && state.is_whole();
                if back || start.elapsed() > LONGEST {
                    break;
                }
            }
        }
    }
    drop(stop);
    // What is left to do is to write the end down.
    let _ = running.await;
    view.end(report.as_deref());
    match report {
        Some(report) if report.outcome == spot_core::drainer::DrainOutcome::Complete => Ok(()),
        _ => Err(Exit::bug("the demo did not end as it should")),
    }
}
