//! Serving the two endpoints: one session, or with fork any number of them, max-children at one time.

use std::ffi::OsString;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Relay;
use super::open::{Channels, life, open_once};
use super::report::{Ended, Report};
use super::session::{self, Outcome};
use super::stop::{Stop, Stopping};
use crate::channel::{Attached, Channel};
use crate::endpoint::{Context, Endpoint, Plan, Planned};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::Groups;
use crate::{failure, info, notice, warning};

/// Forked sessions that have ended are collected when this many are waiting.
const COLLECT: usize = 64;

/// The sessions of one listener.
#[derive(Default)]
struct Sessions {
    tasks: JoinSet<Outcome>,
    /// The first error of a session.
    error: Option<Error>,
}

impl Sessions {
    fn note(&mut self, joined: std::result::Result<Outcome, tokio::task::JoinError>) {
        let error = match joined {
            Ok(outcome) => outcome.error,
            Err(error) if error.is_panic() => {
                Some(Error::new(ErrorKind::Transfer, Phase::Close, "a session failed in an unexpected way"))
            }
            Err(_) => None,
        };
        if self.error.is_none() {
            self.error = error;
        }
    }

    fn collect(&mut self) {
        while let Some(joined) = self.tasks.try_join_next() {
            self.note(joined);
        }
    }

    async fn collect_all(&mut self) {
        while let Some(joined) = self.tasks.join_next().await {
            self.note(joined);
        }
    }
}

impl Relay {
    /// Opens both endpoints and relays until both are at their end, or `stop` is used.
    ///
    /// Cancel safe: dropping the future closes, removes and restores everything.
    pub async fn run(self: &Arc<Self>, stop: &Stop) -> Report {
        let begun = Instant::now();
        for plan in [&self.left, &self.right] {
            for message in &plan.warnings {
                warning!(self.log, "{message}");
            }
        }
        let served = self.serve(stop).await;
        let totals = &self.totals;
        Report {
            left_to_right: totals.left_to_right.flow(),
            right_to_left: totals.right_to_left.flow(),
            sessions: totals.sessions.load(Ordering::Relaxed),
            failed: totals.failed.load(Ordering::Relaxed),
            ended: served.ended,
            error: served.error,
            duration: begun.elapsed(),
        }
    }

    /// Serves in a task of its own: each waking of the future that a runtime blocks on is a system call, and
    /// a listener is woken for each client; waking a task is none.
    async fn serve(self: &Arc<Self>, stop: &Stop) -> Outcome {
        let (relay, stopping) = (Arc::clone(self), stop.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { relay.serve_left(&relay.context(), &stopping).await });
        let stopped = || Outcome { ended: Ended::Stopped, ..Outcome::default() };
        let served = tokio::select! {
            biased;
            served = serving.join_next() => served,
            () = stop.reached(Stopping::Abort) => {
                serving.shutdown().await;
                None
            }
        };
        match served {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) | None => stopped(),
        }
    }

    /// Passes a signal on to the programs of the sessions under way, if an option of an address asks for
    /// that; true if so.
    pub fn pass_signal(&self, signal: i32) -> bool {
        let passes = |plan: &Plan| {
            plan.single().is_some_and(|endpoint| endpoint.options.settings.program.pass_signals.contains(&signal))
        };
        let wanted = passes(&self.left) || passes(&self.right);
        if wanted {
            // Nobody may be there to hear it, before a program was started.
            let _ = self.signals.send(signal);
        }
        wanted
    }

    /// Hands signals to the programs of one session, for as long as it is polled.
    pub(super) async fn pass_signals_to(&self, programs: [Option<&dyn Attached>; 2]) -> std::convert::Infallible {
        let mut signals = self.signals.subscribe();
        loop {
            if let Ok(signal) = signals.recv().await {
                for program in programs.iter().flatten() {
                    program.signal(signal);
                }
            }
        }
    }

    /// The context of the first address: children learn about the relay itself.
    fn context(&self) -> Context {
        let environment_wanted = self.wants_environment();
        let environment =
            Arc::new(if environment_wanted { self.named(&self.settings.environment) } else { Vec::new() });
        Context {
            environment,
            environment_wanted,
            listening: Arc::clone(&self.listening),
            ..Context::new(self.log.clone())
        }
    }

    /// Variables with the program's name before each.
    fn named(&self, variables: &[(&'static str, OsString)]) -> Vec<(String, OsString)> {
        let prefix = self.settings.program.to_uppercase();
        variables.iter().map(|(name, value)| (format!("{prefix}_{name}"), value.clone())).collect()
    }

    /// Whether any endpoint starts programs, which are told who the peer is.
    fn wants_environment(&self) -> bool {
        let starts = |plan: &Plan| match &plan.planned {
            Planned::Single(endpoint) => endpoint.kind.groups.intersects(Groups::FORK),
            Planned::Dual(halves) => {
                [&halves.0, &halves.1].iter().any(|endpoint| endpoint.kind.groups.intersects(Groups::FORK))
            }
        };
        starts(&self.left) || starts(&self.right)
    }

    /// The first address: a single channel, or one after the other.
    async fn serve_left(self: &Arc<Self>, context: &Context, stop: &Stop) -> Outcome {
        match self.left.single().filter(|endpoint| life(endpoint).fork) {
            Some(endpoint) => self.serve_many(endpoint, context, stop, Self::serve_right).await,
            None => match until_stopped(open_once(&self.left, context), stop).await {
                Ok(channel) => Arc::clone(self).serve_right(channel, context.clone(), stop.clone()).await,
                Err(ending) => ending,
            },
        }
    }

    /// The second address, for a channel of the first.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its parameters twice, idle sessions are many")]
    fn serve_right(
        self: Arc<Self>,
        left: Box<Channel>,
        mut context: Context,
        stop: Stop,
    ) -> impl Future<Output = Outcome> + Send {
        async move {
            self.complete(&left, &mut context);
            if let Some(endpoint) = self.right.single().filter(|endpoint| life(endpoint).fork) {
                return Box::pin(self.serve_shared(left, endpoint, &context, &stop)).await;
            }
            // Opening has a large state that is of no use later: it must not stay part of an idle session.
            match Box::pin(until_drained(open_once(&self.right, &context), &left, &stop)).await {
                Ok(right) => self.session(left, right, &context, &stop).await,
                Err(ending) => ending,
            }
        }
    }

    /// The second address with `fork`: its channels share the one of the first.
    async fn serve_shared(
        self: &Arc<Self>,
        left: Box<Channel>,
        endpoint: &Endpoint,
        context: &Context,
        stop: &Stop,
    ) -> Outcome {
        let left = Arc::new(left);
        let serve = move |relay: Arc<Self>, right, context: Context, stop: Stop| {
            let shared = left.share(&settings_of(&relay.left));
            async move {
                match shared {
                    Ok(left) => relay.session(Box::new(left), right, &context, &stop).await,
                    Err(error) => failed(Error::open(Phase::Open, error).at(relay.left.address.clone())),
                }
            }
        };
        self.serve_many(endpoint, context, stop, serve).await
    }

    /// Completes the context for the second address: children learn about the peer of the first.
    fn complete(&self, left: &Channel, context: &mut Context) {
        context.other = Some(left.descriptors());
        if context.environment_wanted {
            let mut environment = self.named(&self.settings.environment);
            environment.extend(self.named(&left.environment));
            context.environment = Arc::new(environment);
        }
    }

    /// Accepts or connects again and again; each channel is served by a task of its own.
    async fn serve_many<S, F>(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        context: &Context,
        stop: &Stop,
        serve: S,
    ) -> Outcome
    where
        S: Fn(Arc<Self>, Box<Channel>, Context, Stop) -> F + Clone + Send + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut sessions = Sessions::default();
        let mut child = context.clone();
        child.log = context.log.lowered(life(endpoint).children_shutup);
        let mut channels = match until_stopped(Channels::open(endpoint, context), stop).await {
            Ok(channels) => channels,
            Err(ending) => return ending,
        };
        let ending = loop {
            sessions.collect();
            if let Err(ending) = until_stopped(capacity(&mut sessions, endpoint, context), stop).await {
                break ending;
            }
            let next = tokio::select! {
                biased;
                next = until_stopped(channels.next(endpoint, context), stop) => next,
                Some(joined) = sessions.tasks.join_next(), if sessions.tasks.len() >= COLLECT => {
                    sessions.note(joined);
                    continue;
                }
            };
            match next {
                // An option that cannot be applied to one client's connection is that client's misfortune.
                Err(Outcome { error: Some(error), .. }) if error.phase() == Phase::Option && channels.accepts() => {
                    self.totals.failed.fetch_add(1, Ordering::Relaxed);
                    failure!(child.log, "{}", error.line());
                }
                Ok(channel) => {
                    sessions.tasks.spawn(Arc::clone(self).forked(serve.clone(), channel, child.clone(), stop.clone()));
                }
                Err(ending) => break ending,
            }
        };
        drop(channels);
        if !sessions.tasks.is_empty() && ending.ended == Ended::NobodyCame {
            notice!(context.log, "Waiting for child processes to terminate");
        }
        if ending.error.is_none() {
            sessions.collect_all().await;
        }
        ending
    }

    /// One session of many: its error is told here, since the relay goes on.
    ///
    /// What serves it is called in here: a future that is handed in would be kept twice, as what was handed
    /// in and as what is waited for.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its parameters twice, idle sessions are many")]
    fn forked<S, F>(
        self: Arc<Self>,
        serve: S,
        channel: Box<Channel>,
        context: Context,
        stop: Stop,
    ) -> impl Future<Output = Outcome> + Send
    where
        S: Fn(Arc<Self>, Box<Channel>, Context, Stop) -> F + Send,
        F: Future<Output = Outcome> + Send,
    {
        async move {
            if !self.settings.session_wait.is_zero() {
                tokio::time::sleep(self.settings.session_wait).await;
            }
            let log = context.log.clone();
            let mut outcome = serve(Arc::clone(&self), channel, context, stop).await;
            if let Some(error) = outcome.error.take() {
                self.totals.failed.fetch_add(1, Ordering::Relaxed);
                if !error.is_logged() {
                    failure!(log, "{}", error.line());
                }
                outcome.error = Some(error.logged());
            }
            outcome
        }
    }

    /// One session.
    async fn session(&self, left: Box<Channel>, right: Box<Channel>, context: &Context, stop: &Stop) -> Outcome {
        self.totals.sessions.fetch_add(1, Ordering::Relaxed);
        let _active = Active::new(&self.totals.active);
        self.log.started();
        if let Some(before) = &self.settings.before_transfer {
            before();
        }
        let outcome = session::run(left, right, self, context, stop).await;
        info!(context.log, "session ended: {:?}", outcome.ended);
        outcome
    }
}

/// Counts a session as under way until dropped.
struct Active<'a>(&'a std::sync::atomic::AtomicU64);

impl<'a> Active<'a> {
    fn new(count: &'a std::sync::atomic::AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn settings_of(plan: &Plan) -> crate::option::Settings {
    plan.single().map(|endpoint| endpoint.options.settings.clone()).unwrap_or_default()
}

/// Waits while `max-children` sessions are under way.
async fn capacity(sessions: &mut Sessions, endpoint: &Endpoint, context: &Context) -> Result<()> {
    let Some(most) = life(endpoint).max_children else { return Ok(()) };
    while sessions.tasks.len() >= most.max(1) {
        notice!(context.log, "max-children reached: all {most} maxchildren are active, waiting");
        if let Some(joined) = sessions.tasks.join_next().await {
            sessions.note(joined);
        }
    }
    Ok(())
}

/// What `work` gives, or how the relay ends when it fails or `stop` comes first.
async fn until_stopped<T>(work: impl Future<Output = Result<T>>, stop: &Stop) -> std::result::Result<T, Outcome> {
    tokio::select! {
        biased;
        done = work => done.map_err(failed),
        () = stop.reached(Stopping::Drain) => Err(Outcome { ended: Ended::Stopped, ..Outcome::default() }),
    }
}

/// As [`until_stopped`], for the second address of a connection in which bytes have arrived: it still gets the
/// time in which they could be written.
async fn until_drained<T>(
    work: impl Future<Output = Result<T>>,
    left: &Channel,
    stop: &Stop,
) -> std::result::Result<T, Outcome> {
    let stopped = async {
        stop.reached(Stopping::Drain).await;
        if left.source.as_ref().is_some_and(|source| source.has_unread()) {
            tokio::time::sleep(session::DRAIN).await;
        }
    };
    tokio::select! {
        biased;
        done = work => done.map_err(failed),
        () = stopped => Err(Outcome { ended: Ended::Stopped, ..Outcome::default() }),
    }
}

/// How the relay ends when an endpoint could not be opened. Nobody coming in time is no failure.
fn failed(error: Error) -> Outcome {
    if error.kind() == ErrorKind::Timeout && error.phase() == Phase::Accept {
        return Outcome { ended: Ended::NobodyCame, ..Outcome::default() };
    }
    Outcome { ended: Ended::Failed, error: Some(error), ..Outcome::default() }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
