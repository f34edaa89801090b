//! The signal only: a batch worker that saves its work when EC2 takes its instance back.
//!
//! ```text
//! cargo run -p spot-examples --bin signal-only                           # on the simulator
//! cargo run -p spot-examples --bin signal-only http://169.254.169.254    # on a Spot instance
//! ```
//!
//! There is no Kubernetes in it: `spot-core` and `spot-imds` are all that it needs. On the
//! simulator no time passes, so that it ends at once, and always prints the same.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use spot_core::notice::{InstanceAction, Notice, NoticeKind, Signal, SourceHealth};
use spot_core::sim::Fault;
use spot_core::source::NoticeSource;
use spot_imds::client::ImdsClient;
use spot_imds::sim::{FaultRule, Imds};
use spot_imds::source::ImdsSource;
use tokio::time::{Instant, sleep};

/// How long one batch takes, and how long it takes to save what has been done.
const BATCH: Duration = Duration::from_secs(7);
const SAVING: Duration = Duration::from_secs(3);

/// What is kept clear before the deadline: the time that a notice names is approximate.
const MARGIN: Duration = Duration::from_secs(10);

/// The work, and how far it has come.
struct Worker {
    source: ImdsSource,
    start: Instant,
    /// What was last heard of the source itself.
    heard: Option<SourceHealth>,
    done: u32,
}

impl Worker {
    fn new(source: ImdsSource) -> Self {
        Self {
            source,
            start: Instant::now(),
            heard: None,
            done: 0,
        }
    }

    /// Works until the instance is taken back, and has saved everything by then.
    async fn run(&mut self) {
        loop {
            // One future for a whole batch: it goes on while signals come in.
            let mut batch = std::pin::pin!(sleep(BATCH));
            loop {
                tokio::select! {
                    // A notice before anything else.
                    biased;
                    signal = self.source.next() => match signal {
                        Signal::Raised(notice) if notice.kind == NoticeKind::SpotInterruption => {
                            return self.wind_up(&notice, batch.deadline()).await;
                        }
                        other => self.heed(&other),
                    },
                    () = &mut batch => break,
                }
            }
            self.done += 1;
        }
    }

    /// The instance goes: finishes the batch if there is time for it, and saves.
    async fn wind_up(&mut self, notice: &Notice, batch_ends: Instant) {
        let now = Instant::now();
        // A notice without a time leaves none.
        let left = notice.deadline.map_or(Duration::ZERO, |d| d.remaining(now));
        self.say(&format!("{} in {} s", notice.action, left.as_secs()));
        // A hibernation freezes us where we are, and we carry on from there.
        if notice.action == InstanceAction::Hibernate {
            return;
        }
        if batch_ends + SAVING + MARGIN <= now + left {
            tokio::time::sleep_until(batch_ends).await;
            self.done += 1;
            self.say("finished the batch at hand");
        } else {
            self.say("gave up the batch at hand");
        }
        sleep(SAVING).await;
        self.say(&format!("saved: {} batches are done", self.done));
    }

    /// What is good to know, and no reason to stop.
    fn heed(&mut self, signal: &Signal) {
        match signal {
            Signal::Identified(instance) => self.say(&format!("running on {}", instance.id)),
            // Good health is said again every minute.
            Signal::Health(health)
                if self.heard.replace(health.clone()).as_ref() == Some(health) => {}
            Signal::Health(SourceHealth::Good) => self.say("a notice would be heard"),
            // On a laptop the trouble is `Trouble::NotHere`: nothing to worry about there.
            Signal::Health(SourceHealth::Failing { trouble, reason }) => {
                self.say(&format!(
                    "a notice would not be heard ({trouble}): {reason}"
                ));
            }
            // Other kinds of notice, and what is yet to come.
            _ => {}
        }
    }

    fn say(&self, what: &str) {
        println!("{:>3} s  {what}", self.start.elapsed().as_secs());
    }
}

/// A Spot instance with a minute and a half to live before it hears of its end, and a metadata
/// service that has a bad moment.
fn simulated() -> Result<ImdsSource, Box<dyn Error>> {
    let seconds = Duration::from_secs;
    let bad_moment = FaultRule::new(Fault::status(503));
    let imds = Imds::builder()
        .instance("i-0123456789abcdef0")
        .fault(bad_moment.from(seconds(40)).until(seconds(50)))
        .spot_notice(seconds(90), InstanceAction::Terminate, seconds(120))
        .build()
        .shared();
    let source = ImdsSource::builder(imds.client().build()?);
    // The same waits after failures in every run.
    Ok(source.jitter_seed(1).build()?)
}

fn main() -> ExitCode {
    match run(std::env::args().nth(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(url.is_none())
        .build()?;
    runtime.block_on(async {
        let source = match url {
            None => simulated()?,
            Some(url) => {
                let client = ImdsClient::builder().endpoint(url).build()?;
                ImdsSource::builder(client).build()?
            }
        };
        Worker::new(source).run().await;
        Ok(())
    })
}
