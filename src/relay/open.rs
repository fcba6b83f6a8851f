//! Opening an endpoint: lock files, retry and interval, the wait for a client.

use std::future::Future;
use std::time::Duration;

use super::LockFile;
use crate::channel::Channel;
use crate::endpoint::{Accept, Context, Endpoint, Opener, Plan, Planned};
use crate::error::{Error, Phase, Result};
use crate::option::Life;
use crate::{debug, warning};

/// Where `fork` gets its channels from.
pub(super) enum Channels {
    Accepted {
        /// Held as long as anything is accepted.
        _locks: Vec<LockFile>,
        accept: Box<dyn Accept>,
    },
    /// Connected again and again; the pause comes before each but the first.
    Connected { first: bool },
}

impl Channels {
    pub(super) async fn open(endpoint: &Endpoint, context: &Context) -> Result<Self> {
        Ok(match &endpoint.opener {
            Opener::Connect(_) => Self::Connected { first: true },
            Opener::Bind(bind) => Self::Accepted {
                _locks: LockFile::of(life(endpoint), &context.log).await?,
                accept: retried(endpoint, context, |context| async move { endpoint.bind(bind, &context).await })
                    .await?,
            },
        })
    }

    pub(super) fn accepts(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    pub(super) async fn next(&mut self, endpoint: &Endpoint, context: &Context) -> Result<Box<Channel>> {
        match self {
            Self::Accepted { accept, .. } => accept_in_time(&mut **accept, endpoint, context).await,
            Self::Connected { first } => {
                if !std::mem::replace(first, false) {
                    tokio::time::sleep(life(endpoint).interval).await;
                }
                open_endpoint(endpoint, context).await
            }
        }
    }
}

pub(super) fn life(endpoint: &Endpoint) -> &Life {
    &endpoint.options.settings.life
}

/// Opens an address once: one channel, or the two halves of a dual one.
pub(super) async fn open_once(plan: &Plan, context: &Context) -> Result<Box<Channel>> {
    match &plan.planned {
        Planned::Single(endpoint) => open_endpoint(endpoint, context).await,
        Planned::Dual(halves) => {
            let mut first = open_endpoint(&halves.0, context).await?;
            let mut second = open_endpoint(&halves.1, context).await?;
            first.sink = second.sink.take();
            first.guards.append(&mut second.guards);
            first.line_end = second.line_end;
            first.cool_write = second.cool_write;
            first.environment.append(&mut second.environment);
            first.also = second.attached.take();
            first.line = second.line.take().or(first.line.take());
            first.control = first.control.take().or(second.control.take());
            Ok(first)
        }
    }
}

/// Opens an endpoint: connects, or binds and accepts one channel.
async fn open_endpoint(endpoint: &Endpoint, context: &Context) -> Result<Box<Channel>> {
    debug!(context.log, "opening {} ({})", endpoint.address, endpoint.kind.name);
    let locks = LockFile::of(life(endpoint), &context.log).await?;
    let opened = match &endpoint.opener {
        Opener::Connect(connect) => {
            retried(endpoint, context, |context| async move { endpoint.connect(connect, &context).await })
                .await
                .map(Box::new)
        }
        Opener::Bind(bind) => {
            let mut accept =
                retried(endpoint, context, |context| async move { endpoint.bind(bind, &context).await }).await?;
            accept_in_time(&mut *accept, endpoint, context).await
        }
    };
    let mut channel = opened.map_err(|error| error.at(endpoint.address.clone()))?;
    for lock in locks {
        channel.guards.push(Box::new(lock));
    }
    Ok(channel)
}

/// Waits for a client, no longer than `accept-timeout`.
async fn accept_in_time(accept: &mut dyn Accept, endpoint: &Endpoint, context: &Context) -> Result<Box<Channel>> {
    let accepted = match life(endpoint).accept_timeout {
        None => accept.accept(context).await,
        Some(limit) => tokio::time::timeout(limit, accept.accept(context))
            .await
            .unwrap_or_else(|_| Err(Error::open(Phase::Accept, std::io::Error::from_raw_os_error(libc::ETIMEDOUT)))),
    };
    accepted.map(Box::new).map_err(|error| error.at(endpoint.address.clone()))
}

/// Tries as often as `retry` and `forever` say, with `interval` between. What an attempt has to complain of
/// is a step less grave as long as another one follows.
async fn retried<T, F: Future<Output = Result<T>>>(
    endpoint: &Endpoint,
    context: &Context,
    attempt: impl Fn(Context) -> F,
) -> Result<T> {
    let life = life(endpoint);
    let mut left = life.retry;
    loop {
        let last = !life.forever && left == 0;
        let mut context = context.clone();
        context.log = context.log.lowered(u8::from(!last));
        let log = context.log.clone();
        let error = match attempt(context).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error.at(endpoint.address.clone()),
        };
        if last {
            return Err(error);
        }
        left = left.saturating_sub(1);
        warning!(log, "{}; trying again in {} s", error.line(), life.interval.as_secs_f64());
        tokio::time::sleep(life.interval.max(Duration::from_millis(1))).await;
    }
}
