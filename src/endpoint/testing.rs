//! What the tests of endpoints share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Accept, Context, Defaults, Direction, Opener, Request};
use crate::channel::Channel;
use crate::error::Result;
use crate::log::{Level, Log, Sink};
use crate::option::{Options, Settings};
use crate::spec::{Single, Word};

/// A context that logs nothing.
pub(super) fn quiet() -> Context {
    Context::new(Log::silent())
}

/// What was logged, a line for each event: letter and message.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn write(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push(format!("{} {message}", level.letter()));
    }
}

impl Lines {
    /// A context that logs here, from notices on, and wants to know who the peer is.
    pub(super) fn context(&self) -> Context {
        let log = Log::new(Level::Notice, Box::new(self.clone()));
        Context { environment_wanted: true, ..Context::new(log) }
    }

    /// All lines so far.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The rest of the first line that begins so.
    pub(super) fn after(&self, begin: &str) -> Option<String> {
        self.all().iter().find_map(|line| line.strip_prefix(begin).map(str::to_owned))
    }
}

/// A directory that is removed with all that is in it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new one; `name` tells tests of one process apart.
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ferrule-{name}-{:x}", super::local::random()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Plans an address with the settings `change` makes, and the given defaults.
pub(super) fn plan_with(
    keyword: &str,
    params: &[&str],
    defaults: &Defaults,
    change: impl FnOnce(&mut Settings),
) -> Result<Opener> {
    let word = |text: &str| Word { bytes: text.as_bytes().to_vec(), span: 0..0 };
    let spec = Single {
        keyword: word(keyword),
        params: params.iter().map(|text| word(text)).collect(),
        options: Vec::new(),
        span: 0..0,
    };
    let mut options = Options::default();
    change(&mut options.settings);
    let kind = super::find(keyword).unwrap();
    let request = Request {
        kind,
        address: keyword,
        spec: &spec,
        options: Arc::new(options),
        direction: Direction::Both,
        defaults,
    };
    (kind.plan)(&request)
}

/// Plans an address with the settings `change` makes.
pub(super) fn plan(keyword: &str, params: &[&str], change: impl FnOnce(&mut Settings)) -> Result<Opener> {
    plan_with(keyword, params, &Defaults::default(), change)
}

/// Connects what `plan` gave.
pub(super) async fn connect(opener: Result<Opener>, context: &Context) -> Result<Channel> {
    match opener? {
        Opener::Connect(connect) => connect.connect(context).await,
        Opener::Bind(_) => panic!("it is a listener"),
    }
}

/// Binds what `plan` gave.
pub(super) async fn bind(opener: Result<Opener>, context: &Context) -> Result<Box<dyn Accept>> {
    match opener? {
        Opener::Bind(bind) => bind.bind(context).await,
        Opener::Connect(_) => panic!("it is a client"),
    }
}

/// Accepts, but not for ever.
pub(super) async fn accept(listener: &mut Box<dyn Accept>, context: &Context) -> Result<Channel> {
    tokio::time::timeout(Duration::from_secs(10), listener.accept(context)).await.expect("somebody connects")
}

/// Writes at one end and reads at the other.
pub(super) async fn passes(from: &mut Channel, to: &mut Channel, bytes: &[u8]) {
    from.sink.as_mut().unwrap().write_all(bytes).await.unwrap();
    let mut read = vec![0; bytes.len()];
    to.source.as_mut().unwrap().read_exact(&mut read).await.unwrap();
    assert_eq!(read, bytes);
}

/// Ends one end's data and waits for the end at the other.
pub(super) async fn ends(from: &mut Channel, to: &mut Channel) {
    from.sink.as_mut().unwrap().shutdown().await.unwrap();
    assert_eq!(to.source.as_mut().unwrap().read(&mut [0; 16]).await.unwrap(), 0);
}
