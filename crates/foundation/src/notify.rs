//! What systemd hears of a service of `Type=notify`; see sd_notify(3).
//!
//! `READY=1` is sent when every component is ready for the first time, `STATUS=` whenever the readiness changes,
//! `STOPPING=1` when the drain begins. The watchdog is fed unless a component is
//! [`Condition::Stuck`]: hanging is what a restart may cure. A component that has *failed* (a full disk) says so
//! itself and goes on by itself when it can; restarting would only cost the service. During the drain the
//! watchdog is fed in any case, since each phase has a deadline of its own.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::clock::Clock;
use crate::failure::BoxError;
use crate::health::{ComponentState, Condition, Health};
use crate::supervise::{DrainPhase, DrainToken, Policy, Spawner};

/// How often the readiness is looked at when no watchdog asks for more.
const CHECK_EVERY: Duration = Duration::from_millis(500);

type SendStates = dyn Fn(&[NotifyState<'_>]) -> io::Result<()> + Send + Sync;

/// The way to systemd.
#[derive(Clone)]
pub struct Notifier {
    send: Arc<SendStates>,
    /// Within which systemd wants to hear of us.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// To the systemd that started this process; silent if it was not started by systemd.
    #[must_use]
    pub fn systemd() -> Self {
        Self { send: Arc::new(sd_notify::notify), watchdog: sd_notify::watchdog_enabled() }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = (self.send)(states) {
            warn!(%error, "cannot notify systemd");
        }
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("watchdog", &self.watchdog).finish_non_exhaustive()
    }
}

/// Keeps systemd informed until the last phase of the drain.
pub fn start(spawner: &Spawner, notifier: Notifier, health: Health, clock: Arc<dyn Clock>) {
    let intake = spawner.token(DrainPhase::StopIntake);
    spawner.spawn("notify", Policy::expendable(DrainPhase::Close), |closing| async move {
        let mut reporter = Reporter { notifier, told_ready: false, told_status: None };
        reporter.report_life(&health, &*clock, &intake).await;
        reporter.report_drain(&*clock, &closing).await;
        Ok::<(), BoxError>(())
    });
}

struct Reporter {
    notifier: Notifier,
    told_ready: bool,
    told_status: Option<String>,
}

impl Reporter {
    async fn report_life(&mut self, health: &Health, clock: &dyn Clock, draining: &DrainToken) {
        loop {
            self.report(&health.readiness());
            tokio::select! {
                () = draining.draining() => return,
                () = clock.sleep(self.pause()) => {}
            }
        }
    }

    async fn report_drain(&mut self, clock: &dyn Clock, closing: &DrainToken) {
        self.notifier.send(&[NotifyState::Stopping, NotifyState::Status("draining")]);
        loop {
            tokio::select! {
                () = closing.draining() => return,
                () = clock.sleep(self.pause()) => self.feed(),
            }
        }
    }

    fn report(&mut self, components: &[ComponentState]) {
        let ready = components.iter().all(|component| component.condition.is_ready());
        if ready && !self.told_ready {
            self.notifier.send(&[NotifyState::Ready]);
            self.told_ready = true;
        }
        let status = status(components);
        if self.told_status.as_ref() != Some(&status) {
            self.notifier.send(&[NotifyState::Status(&status)]);
            self.told_status = Some(status);
        }
        if components.iter().all(|component| component.condition != Condition::Stuck) {
            self.feed();
        }
    }

    fn feed(&self) {
        if self.notifier.watchdog.is_some() {
            self.notifier.send(&[NotifyState::Watchdog]);
        }
    }

    /// Twice within the time that systemd waits, as sd_watchdog_enabled(3) recommends.
    fn pause(&self) -> Duration {
        self.notifier.watchdog.map_or(CHECK_EVERY, |limit| (limit / 2).min(CHECK_EVERY))
    }
}

fn status(components: &[ComponentState]) -> String {
    let unready = components.iter().filter(|component| !component.condition.is_ready());
    let unready: Vec<String> =
        unready.map(|component| format!("{}: {}", component.name, component.condition)).collect();
    if unready.is_empty() { "ready".to_owned() } else { format!("not ready: {}", unready.join(", ")) }
}

#[cfg(test)]
mod tests;
