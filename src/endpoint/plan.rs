//! A checked address, ready to be opened as often as wanted.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Accept, Bind, Connect, Context, Defaults, Direction, Kind, Opener, Request, identity, layer};
use crate::channel::Channel;
use crate::error::{Error, Result, printable};
use crate::option::{Groups, Options, Strictness, Transport};
use crate::spec::{self, Single, Spec};

/// A checked address: one endpoint, or the two halves of a dual one.
pub struct Plan {
    /// The address as written.
    pub address: String,
    /// What is opened.
    pub planned: Planned,
    /// What the user should know although it is no error; logged at level W when the relay starts.
    pub warnings: Vec<String>,
}

/// One endpoint that is ready to be opened.
pub struct Endpoint {
    /// Its kind.
    pub kind: &'static Kind,
    /// This half of the address as written.
    pub address: String,
    /// Its options.
    pub options: Arc<Options>,
    /// Which way bytes go.
    pub direction: Direction,
    /// How it is opened.
    pub opener: Opener,
    /// Whether its options have changed the whole process already: that is done once, however often the
    /// endpoint is opened.
    identified: AtomicBool,
}

impl Endpoint {
    /// Opens a channel, with the identity and in the place its options ask for. One attempt.
    pub async fn connect(&self, connect: &Arc<dyn Connect>, context: &Context) -> Result<Channel> {
        if !self.is_particular() {
            return connect.connect(context).await;
        }
        let (connect, context) = (Arc::clone(connect), context.clone());
        // Boxed, since it is large and few need it: what opens a connection is part of each session.
        Box::pin(self.as_asked(move || async move { connect.connect(&context).await })).await
    }

    /// Binds, with the identity and in the place its options ask for. One attempt.
    pub async fn bind(&self, bind: &Arc<dyn Bind>, context: &Context) -> Result<Box<dyn Accept>> {
        if !self.is_particular() {
            return bind.bind(context).await;
        }
        let (bind, context) = (Arc::clone(bind), context.clone());
        Box::pin(self.as_asked(move || async move { bind.bind(&context).await })).await
    }

    fn is_particular(&self) -> bool {
        identity::concerns(self.kind, &self.options.settings)
    }

    async fn as_asked<T, F, O>(&self, open: O) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
        O: FnOnce() -> F + Send + 'static,
    {
        let first = !self.identified.load(Ordering::Relaxed);
        let opened = identity::opened(&self.options.settings, first, open).await?;
        self.identified.store(true, Ordering::Relaxed);
        Ok(opened)
    }
}

/// What a plan opens.
pub enum Planned {
    /// One endpoint.
    Single(Endpoint),
    /// One that is read and one that is written.
    Dual(Box<(Endpoint, Endpoint)>),
}

impl Plan {
    /// Reads and checks the text of an address. Opens nothing.
    pub fn parse(text: &[u8], direction: Direction, defaults: &Defaults) -> Result<Self> {
        let spec = spec::parse(text)?;
        Self::new(&spec, direction, defaults)
    }

    /// Checks a spec. Opens nothing.
    pub fn new(spec: &Spec, direction: Direction, defaults: &Defaults) -> Result<Self> {
        let address = printable(&spec.text);
        let mut warnings = Vec::new();
        let mut half = |single: &Single, direction| endpoint(spec, single, direction, defaults, &mut warnings);
        let planned = match (&spec.second, direction) {
            (Some(second), Direction::Both) => {
                let halves = (half(&spec.first, Direction::Read)?, half(second, Direction::Write)?);
                check_half(spec, &spec.first, &halves.0)?;
                check_half(spec, second, &halves.1)?;
                Planned::Dual(Box::new(halves))
            }
            (None, _) | (Some(_), Direction::Read) => Planned::Single(half(&spec.first, direction)?),
            (Some(second), Direction::Write) => Planned::Single(half(second, direction)?),
        };
        if spec.second.is_some() && direction != Direction::Both {
            warnings.push("unidirectional open of dual address".to_owned());
        }
        Ok(Self { address, planned, warnings })
    }

    /// A plan for an opener that was not made from text, without options, for both ways.
    pub fn of_opener(kind: &'static Kind, address: &str, opener: Opener) -> Self {
        let endpoint = Endpoint {
            kind,
            address: address.to_owned(),
            options: Arc::default(),
            direction: Direction::Both,
            opener,
            identified: AtomicBool::new(false),
        };
        Self { address: address.to_owned(), planned: Planned::Single(endpoint), warnings: Vec::new() }
    }

    /// The endpoint whose options are the relay's policies; a dual address has none of these.
    pub fn single(&self) -> Option<&Endpoint> {
        match &self.planned {
            Planned::Single(endpoint) => Some(endpoint),
            Planned::Dual(_) => None,
        }
    }
}

/// Refuses what only a whole address can do.
fn check_half(spec: &Spec, single: &Single, endpoint: &Endpoint) -> Result<()> {
    let settings = &endpoint.options.settings;
    let shared = settings.share.opened.is_some();
    let whole =
        [(shared, "share"), (settings.life.fork, "fork"), (settings.program.transport == Transport::NoFork, "nofork")];
    match whole.into_iter().find(|(given, _)| *given) {
        Some((_, name)) => {
            let error = Error::text(format!("option {name} is not allowed here"))
                .hint("it takes a whole address, not the half of one joined by !!");
            Err(located(spec, single, &endpoint.options, error).at(&endpoint.address))
        }
        None => Ok(()),
    }
}

/// Points an error found after reading at its place: the option, where the message begins with
/// `option NAME`; else the whole address.
fn located(spec: &Spec, single: &Single, options: &Options, error: Error) -> Error {
    let named = error.message().strip_prefix("option ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let error = match named {
        Some(name) => options.blame(&name, error),
        None => error,
    };
    error.place(&spec.text, single.span.clone())
}

/// Checks one half and makes its opener.
fn endpoint(
    spec: &Spec,
    single: &Single,
    direction: Direction,
    defaults: &Defaults,
    warnings: &mut Vec<String>,
) -> Result<Endpoint> {
    let address = printable(&spec.text[single.span.clone()]);
    let placed = |error: Error| error.at(address.clone());
    let kind = spec::diagnose::kind_of(spec, single).map_err(placed)?;
    spec::diagnose::check_params(kind, spec, single).map_err(placed)?;
    let strictness = if defaults.any_option { Strictness::AnyGroup } else { Strictness::Groups };
    let mut options = Options::parse(spec, single, kind, strictness).map_err(placed)?;
    options.settings.file.named = kind.groups.intersects(Groups::NAMED);
    layer::prepare(kind, &mut options.settings);
    let options = Arc::new(options);
    let located = |error: Error| placed(located(spec, single, &options, error));
    identity::check(kind, &options.settings, defaults.process_wide).map_err(located)?;
    let direction = fit(kind, direction, &address, warnings);
    let request = Request { kind, address: &address, spec: single, options: Arc::clone(&options), direction, defaults };
    let opener = (kind.plan)(&request).and_then(|opener| layer::around(opener, &request)).map_err(located)?;
    Ok(Endpoint { kind, address, options, direction, opener, identified: AtomicBool::new(false) })
}

/// The direction the kind can serve; the user is told when that is less than asked for.
fn fit(kind: &Kind, wanted: Direction, address: &str, warnings: &mut Vec<String>) -> Direction {
    let (only, word) = match (kind.direction, wanted) {
        (Direction::Read, Direction::Both) => (Direction::Read, "read-only"),
        (Direction::Write, Direction::Both) => (Direction::Write, "write-only"),
        _ => return wanted,
    };
    warnings.push(format!("address \"{address}\" is opened in read-write mode but only supports {word}"));
    only
}
