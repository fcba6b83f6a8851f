//! UNIX sockets: clients and listeners, by a path or by an abstract name (unix(7)).

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket};

use super::access::Gate;
use super::listener::{Listener, Manner};
use super::local::random;
use super::socket::{self, Attempt, Shape, parameter};
use super::sockname::Name;
use super::unix_path::{self, PathAddress};
use super::unlink::UnlinkGuard;
use super::{Accept, Bind, BoxFuture, Connect, Context, Direction, Kind, Opener, Request};
use crate::channel::Channel;
use crate::error::{Error, Phase, Result};
use crate::log::Level;
use crate::option::{Groups, Options};
use crate::{sys, warning};

const UNIX: Groups = Groups::FD.and(Groups::SOCKET).and(Groups::NAMED).and(Groups::RETRY).and(Groups::UNIX);
const CLIENT: Groups = UNIX.and(Groups::CONNECT);
const LISTENER: Groups = UNIX.and(Groups::LISTEN).and(Groups::CHILD);

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "UNIX-CONNECT",
        aliases: &["LOCAL"],
        usage: ":<filename>",
        params: (1, 1),
        groups: CLIENT,
        direction: Direction::Both,
        doc: "A connection to a UNIX stream socket by its path. so-type=5 connects to a SEQPACKET socket.",
        plan: |request| client(request, path(request)?, Types::One),
    },
    Kind {
        name: "UNIX-CLIENT",
        aliases: &["UNIX"],
        usage: ":<filename>",
        params: (1, 1),
        groups: CLIENT,
        direction: Direction::Both,
        doc: "A connection to a UNIX socket of whatever type: stream, SEQPACKET and datagram are tried in turn.",
        plan: |request| client(request, path(request)?, Types::Any),
    },
    Kind {
        name: "UNIX-LISTEN",
        aliases: &["UNIX-L"],
        usage: ":<filename>",
        params: (1, 1),
        groups: LISTENER,
        direction: Direction::Both,
        doc: "Makes a UNIX stream socket and waits for a connection to it; with fork for any number of them. The \
              path must be free, or a socket that unlink-early removes; it is removed at the end.",
        plan: |request| listener(request, path(request)?),
    },
];

/// Where a UNIX socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file system.
    Path(PathBuf),
    /// In the abstract namespace, without the NUL byte in front.
    Abstract(Vec<u8>),
}

/// An address, and what must stay open while it is used.
enum PlaceAddress {
    Path(PathAddress),
    Abstract(SockAddr),
}

impl PlaceAddress {
    fn get(&self) -> &SockAddr {
        match self {
            Self::Path(path) => &path.address,
            Self::Abstract(address) => address,
        }
    }
}

impl Place {
    /// A path out of an address's text.
    fn path(text: &[u8]) -> Result<Self> {
        match text {
            [] => Err(Error::text("empty path")),
            _ if text.contains(&0) => Err(Error::text("a path cannot hold a NUL byte")),
            _ => Ok(Self::Path(OsStr::from_bytes(text).into())),
        }
    }

    /// An abstract name out of an address's text.
    pub(super) fn hidden(text: &[u8]) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::text("empty name"));
        }
        sys::socket::abstract_address(text, false)
            .map_err(|_| Error::text(format!("the name has {} bytes, most are 107", text.len())))?;
        Ok(Self::Abstract(text.to_vec()))
    }

    /// Another place of the same sort.
    fn alike(&self, text: &[u8]) -> Result<Self> {
        match self {
            Self::Path(_) => Self::path(text),
            Self::Abstract(_) => Self::hidden(text),
        }
    }

    fn name(&self) -> Name {
        match self {
            Self::Path(path) => Name::Path(path.clone()),
            Self::Abstract(name) => Name::Abstract(name.clone()),
        }
    }

    fn address(&self, options: &Options) -> io::Result<PlaceAddress> {
        Ok(match self {
            Self::Path(path) => PlaceAddress::Path(PathAddress::new(path)?),
            Self::Abstract(name) => {
                let loose = options.settings.socket.loose_length;
                PlaceAddress::Abstract(sys::socket::abstract_address(name, loose)?)
            }
        })
    }

    /// bind(2), with the options about names in the file system.
    fn bind(&self, socket: &Socket, options: &Options) -> Result<Option<UnlinkGuard>> {
        match self {
            Self::Path(path) => unix_path::bind(socket, path, options),
            Self::Abstract(_) => {
                let failed = |error| Error::open(Phase::Bind, error);
                let address = self.address(options).map_err(failed)?;
                socket.bind(address.get()).map_err(failed)?;
                Ok(None)
            }
        }
    }
}

fn path(request: &Request<'_>) -> Result<Place> {
    Place::path(parameter(request, 0))
}

/// Which types of sockets are tried, where no option says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Types {
    /// Stream only.
    One,
    /// Stream, SEQPACKET, datagram; the next one when the socket there is not of this type.
    Any,
}

impl Types {
    fn list(self, options: &Options) -> &'static [Shape] {
        const ALL: [Shape; 3] = [
            Shape::UNIX,
            Shape { kind: libc::SOCK_SEQPACKET, protocol: 0 },
            Shape { kind: libc::SOCK_DGRAM, protocol: 0 },
        ];
        match self {
            Self::Any if options.settings.socket.kind.is_none() => &ALL,
            _ => &ALL[..1],
        }
    }
}

/// Plans a client of the socket at `place`.
pub(super) fn client(request: &Request<'_>, place: Place, types: Types) -> Result<Opener> {
    let options = Arc::clone(&request.options);
    let local = LocalName::plan(&options, &place)?;
    Ok(Opener::Connect(Arc::new(Client { place, local, types, options })))
}

/// Plans a listener at `place`.
pub(super) fn listener(request: &Request<'_>, place: Place) -> Result<Opener> {
    let options = &request.options;
    if options.settings.socket.bind.is_some() || options.settings.socket.bind_tempname.is_some() {
        return Err(Error::text("option bind does not fit: the address itself names what is bound"));
    }
    let gate = Gate::plan(options, &request.defaults.program)?;
    Ok(Opener::Bind(Arc::new(Server { place, gate, options: Arc::clone(options) })))
}

/// Connects to whatever socket has this path: what GOPEN does with a socket.
pub(super) async fn connect_any(path: &Path, options: &Options, context: &Context) -> Result<Channel> {
    let place = Place::Path(path.to_owned());
    let local = LocalName::plan(options, &place)?;
    connect(&place, local.as_ref(), Types::Any, options, context).await
}

/// The default of `unix-bind-tempname`.
const TEMPLATE: &[u8] = b"/tmp/socat-bind.XXXXXX";
/// What is replaced in a template.
const BLANKS: &[u8] = b"XXXXXX";
/// Names tried before giving up.
const ATTEMPTS: u32 = 64;

/// The name a client binds itself.
#[derive(Debug)]
enum LocalName {
    Given(Place),
    /// One nobody has, made of what stands before and behind the blanks.
    Temporary {
        like: Place,
        before: Vec<u8>,
        after: Vec<u8>,
    },
}

impl LocalName {
    fn plan(options: &Options, like: &Place) -> Result<Option<Self>> {
        let socket = &options.settings.socket;
        if let Some(text) = &socket.bind {
            return Ok(Some(Self::Given(like.alike(text)?)));
        }
        let Some(template) = &socket.bind_tempname else { return Ok(None) };
        let template: &[u8] = if template.is_empty() { TEMPLATE } else { template };
        let Some(at) = template.windows(BLANKS.len()).rposition(|window| window == BLANKS) else {
            return Err(Error::text("the template for a temporary name has no XXXXXX in it"));
        };
        like.alike(template)?;
        let (before, after) = (template[..at].to_vec(), template[at + BLANKS.len()..].to_vec());
        Ok(Some(Self::Temporary { like: like.clone(), before, after }))
    }

    fn bind(&self, socket: &Socket, options: &Options) -> Result<Option<UnlinkGuard>> {
        let (like, before, after) = match self {
            Self::Given(place) => return place.bind(socket, options),
            Self::Temporary { like, before, after } => (like, before, after),
        };
        for _ in 0..ATTEMPTS {
            let place = like.alike(&[before.as_slice(), &letters(), after].concat())?;
            // bind(2) makes sure that nobody has the name: there is no moment between look and leap.
            match place.bind(socket, options) {
                Err(error) if error.errno() == Some(libc::EADDRINUSE) => {}
                result => return result,
            }
        }
        Err(Error::open(Phase::Bind, io::Error::from_raw_os_error(libc::EADDRINUSE)))
    }
}

/// Six letters and digits nobody can foretell.
fn letters() -> [u8; BLANKS.len()] {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut rest = random();
    std::array::from_fn(|_| {
        let index = usize::try_from(rest % 62).unwrap_or(0);
        rest /= 62;
        ALPHABET[index]
    })
}

struct Client {
    place: Place,
    local: Option<LocalName>,
    types: Types,
    options: Arc<Options>,
}

impl Connect for Client {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move {
            let named = |name: &&str| self.options.has(name);
            if self.local.is_none() && ["perm", "user", "group", "unlink-early"].iter().any(named) {
                warning!(context.log, "options about the socket's name have no effect without bind");
            }
            connect(&self.place, self.local.as_ref(), self.types, &self.options, context).await
        })
    }

    fn appears_at(&self) -> Option<&Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            Place::Abstract(_) => None,
        }
    }
}

/// Connects; the next type is tried when the socket there is of another one.
async fn connect(
    place: &Place,
    local: Option<&LocalName>,
    types: Types,
    options: &Options,
    context: &Context,
) -> Result<Channel> {
    let address = place.address(options).map_err(|error| Error::open(Phase::Connect, error))?;
    let shapes = types.list(options);
    let mut failure = None;
    for (index, shape) in shapes.iter().enumerate() {
        let last = index + 1 == shapes.len();
        let shape = shape.changed(&options.settings.socket);
        let socket = socket::create(Domain::UNIX, shape, options)?;
        socket::before_bind(&socket, options, None)?;
        let guard = local.map(|local| local.bind(&socket, options)).transpose()?.flatten();
        let level = if last { Level::Warn } else { Level::Info };
        let attempt = Attempt { remote: address.get(), name: place.name(), options, context, level };
        match attempt.connect(socket, shape.class(Domain::UNIX)).await {
            Ok(port) => {
                let mut channel = socket::channel(port, options);
                channel.guards.extend(guard.map(|guard| Box::new(guard) as Box<dyn Send + Sync>));
                return Ok(channel);
            }
            Err(error) if error.errno() == Some(libc::EPROTOTYPE) && !last => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::open(Phase::Connect, io::Error::from_raw_os_error(libc::EPROTOTYPE))))
}

struct Server {
    place: Place,
    gate: Gate,
    options: Arc<Options>,
}

impl Server {
    fn open(&self, context: &Context) -> Result<Listener> {
        let options = &*self.options;
        let shape = Shape::UNIX.changed(&options.settings.socket);
        let socket = socket::create(Domain::UNIX, shape, options)?;
        socket::before_bind(&socket, options, None)?;
        let guard = self.place.bind(&socket, options)?;
        socket::listen(&socket, options)?;
        let manner = Manner {
            class: shape.class(Domain::UNIX),
            local: Some(self.place.name()),
            inherits_nothing: true,
            nodelay: false,
            guard,
        };
        Listener::new(OwnedFd::from(socket), manner, self.gate.clone(), Arc::clone(&self.options), context)
    }
}

impl Bind for Server {
    fn bind<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Box<dyn Accept>>> {
        Box::pin(async move { Ok(Box::new(self.open(context)?) as Box<dyn Accept>) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::endpoint::testing::{Lines, Scratch, accept, bind, connect, ends, passes, plan, quiet};
    use crate::error::ErrorKind;
    use crate::option::Settings;

    fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    async fn listening(path: &Path, change: impl FnOnce(&mut Settings)) -> Result<Box<dyn Accept>> {
        bind(plan("UNIX-LISTEN", &[text(path)], change), &quiet()).await
    }

    async fn connected(keyword: &str, path: &Path, change: impl FnOnce(&mut Settings)) -> Result<Channel> {
        connect(plan(keyword, &[text(path)], change), &quiet()).await
    }

    #[tokio::test]
    async fn bytes_and_ends_pass_both_ways() {
        let (scratch, log) = (Scratch::new("pass"), Lines::default());
        let path = scratch.path("socket");
        let mut listener = bind(plan("UNIX-L", &[text(&path)], |_| {}), &log.context()).await.unwrap();
        let mut client = connect(plan("LOCAL", &[text(&path)], |_| {}), &log.context()).await.unwrap();
        let mut server = accept(&mut listener, &log.context()).await.unwrap();
        passes(&mut client, &mut server, b"question").await;
        ends(&mut client, &mut server).await;
        passes(&mut server, &mut client, b"answer").await;
        let shown = path.display();
        assert_eq!(
            log.all(),
            [
                format!("N listening on AF=1 \"{shown}\""),
                format!("N opening connection to AF=1 \"{shown}\""),
                "N successfully connected from local address AF=1 \"<anon>\"".to_owned(),
                format!("N accepting connection from AF=1 \"<anon>\" on AF=1 \"{shown}\""),
            ]
        );
        assert_eq!(server.environment, [("PEERADDR", "<anon>".into()), ("SOCKADDR", path.into_os_string())]);
    }

    #[tokio::test]
    async fn the_name_lasts_as_long_as_it_is_needed() {
        let scratch = Scratch::new("last");
        let path = scratch.path("socket");
        // One connection: the name stays until that is over.
        let mut listener = listening(&path, |_| {}).await.unwrap();
        let _client = connected("UNIX-CONNECT", &path, |_| {}).await.unwrap();
        let server = accept(&mut listener, &quiet()).await.unwrap();
        drop(listener);
        assert!(path.exists());
        drop(server);
        assert!(!path.exists());
        // Many connections: the name is the listener's.
        let mut listener = listening(&path, |settings| settings.life.fork = true).await.unwrap();
        let _client = connected("UNIX-CONNECT", &path, |_| {}).await.unwrap();
        let _server = accept(&mut listener, &quiet()).await.unwrap();
        drop(listener);
        assert!(!path.exists());
        // unlink-close=0.
        drop(listening(&path, |settings| settings.file.unlink_close = Some(false)).await.unwrap());
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_told_with_its_owner() {
        let scratch = Scratch::new("taken");
        let path = scratch.path("socket");
        let refused = |error: Option<Error>| {
            let error = error.unwrap();
            assert_eq!(error.message(), format!("\"{}\" exists", path.display()));
            assert_eq!(error.errno(), Some(libc::EADDRINUSE));
            error.advice().unwrap().to_owned()
        };
        let listener = listening(&path, |settings| settings.file.unlink_close = Some(false)).await.unwrap();
        assert_eq!(refused(listening(&path, |_| {}).await.err()), "another process is listening there");
        drop(listener);
        assert!(refused(listening(&path, |_| {}).await.err()).contains("unlink-early"));
        drop(listening(&path, |settings| settings.file.unlink_early = true).await.unwrap());
        assert!(!path.exists());
        std::fs::write(&path, "data").unwrap();
        assert_eq!(refused(listening(&path, |_| {}).await.err()), "it is a file, not a socket");
    }

    #[tokio::test]
    async fn unlink_early_removes_sockets_only() {
        let scratch = Scratch::new("early");
        let path = scratch.path("file");
        std::fs::write(&path, "data").unwrap();
        let error = listening(&path, |settings| settings.file.unlink_early = true).await.err().unwrap();
        assert_eq!(error.message(), format!("\"{}\" exists and is a file", path.display()));
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
    }

    #[tokio::test]
    async fn a_name_somebody_replaced_is_not_removed() {
        let scratch = Scratch::new("replaced");
        let path = scratch.path("socket");
        let listener = listening(&path, |settings| settings.life.fork = true).await.unwrap();
        std::fs::rename(&path, scratch.path("moved")).unwrap();
        let _other = listening(&path, |_| {}).await.unwrap();
        drop(listener);
        connected("UNIX-CONNECT", &path, |_| {}).await.unwrap();
    }

    #[tokio::test]
    async fn the_mode_is_the_one_asked_for() {
        let scratch = Scratch::new("mode");
        for mode in [0o600, 0o640] {
            let path = scratch.path(&format!("{mode:o}"));
            let _listener = listening(&path, |settings| settings.file.mode = Some(mode)).await.unwrap();
            assert_eq!(path.symlink_metadata().unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[tokio::test]
    async fn paths_may_be_longer_than_an_address() {
        let scratch = Scratch::new("long");
        let directory = scratch.path(&"d".repeat(200));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("socket");
        let log = Lines::default();
        let mut listener = listening(&path, |_| {}).await.unwrap();
        let mut client = connected("UNIX-CONNECT", &path, |_| {}).await.unwrap();
        let mut server = accept(&mut listener, &log.context()).await.unwrap();
        passes(&mut client, &mut server, b"far").await;
        assert_eq!(server.environment[1], ("SOCKADDR", path.clone().into_os_string()));
        assert!(listening(&path, |_| {}).await.err().unwrap().message().ends_with("exists"));
        drop((listener, server));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn clients_may_have_names_of_their_own() {
        let scratch = Scratch::new("names");
        let (path, own, log) = (scratch.path("socket"), scratch.path("own"), Lines::default());
        let mut listener = listening(&path, |settings| settings.life.fork = true).await.unwrap();
        let own_text = text(&own).as_bytes().to_vec();
        let client = connected("UNIX-CONNECT", &path, |settings| settings.socket.bind = Some(own_text)).await.unwrap();
        let server = accept(&mut listener, &log.context()).await.unwrap();
        assert_eq!(server.environment[0], ("PEERADDR", own.clone().into_os_string()));
        assert!(own.exists());
        drop(client);
        assert!(!own.exists());
        let template = [text(&scratch.path("t")).as_bytes(), b"-XXXXXX-e"].concat();
        let client =
            connected("UNIX-CLIENT", &path, |settings| settings.socket.bind_tempname = Some(template)).await.unwrap();
        let server = accept(&mut listener, &log.context()).await.unwrap();
        let name = server.environment[0].1.to_str().unwrap().to_owned();
        assert!(name.starts_with(text(&scratch.path("t-"))) && name.ends_with("-e"), "{name}");
        drop(client);
        assert!(!Path::new(&name).exists());
    }

    #[tokio::test]
    async fn the_type_of_the_socket_is_found_out() {
        let scratch = Scratch::new("types");
        let path = scratch.path("packets");
        let mut listener =
            listening(&path, |settings| settings.socket.kind = Some(libc::SOCK_SEQPACKET)).await.unwrap();
        let mut client = connected("UNIX-CLIENT", &path, |_| {}).await.unwrap();
        let mut server = accept(&mut listener, &quiet()).await.unwrap();
        passes(&mut client, &mut server, b"packet").await;
        ends(&mut client, &mut server).await;
        let error = connected("UNIX-CONNECT", &path, |_| {}).await.err().unwrap();
        assert_eq!(error.errno(), Some(libc::EPROTOTYPE));
        let path = scratch.path("datagrams");
        let datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let options = Options::default();
        let mut client = connect_any(&path, &options, &quiet()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(client.sink.as_mut().unwrap(), b"datagram").await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(datagrams.recv(&mut buffer).unwrap(), 8);
    }

    #[tokio::test]
    async fn a_full_queue_is_waited_for() {
        let scratch = Scratch::new("queue");
        let path = scratch.path("socket");
        let mut listener = listening(&path, |settings| settings.socket.backlog = Some(0)).await.unwrap();
        let timeout = |settings: &mut Settings| settings.life.connect_timeout = Some(Duration::from_millis(30));
        let mut waiting = Vec::new();
        let error = loop {
            match connected("UNIX-CONNECT", &path, timeout).await {
                Ok(client) => waiting.push(client),
                Err(error) => break error,
            }
            assert!(waiting.len() < 10, "the queue has no bound");
        };
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Connect));
        let (patient, accepted) =
            tokio::join!(connected("UNIX-CONNECT", &path, |_| {}), accept_all(&mut listener, waiting.len() + 1));
        patient.unwrap();
        assert_eq!(accepted, waiting.len() + 1);
    }

    async fn accept_all(listener: &mut Box<dyn Accept>, count: usize) -> usize {
        for _ in 0..count {
            accept(listener, &quiet()).await.unwrap();
        }
        count
    }

    #[tokio::test]
    async fn abstract_names_are_told_with_their_nul() {
        let log = Lines::default();
        let name = format!("ferrule-{:x}", random());
        let mut listener = bind(plan("ABSTRACT-LISTEN", &[&name], |_| {}), &log.context()).await.unwrap();
        let own = format!("{name}-own").into_bytes();
        let opener = plan("ABSTRACT", &[&name], |settings| settings.socket.bind = Some(own));
        let mut client = connect(opener, &quiet()).await.unwrap();
        let mut server = accept(&mut listener, &log.context()).await.unwrap();
        passes(&mut client, &mut server, b"hidden").await;
        assert_eq!(log.all()[0], format!("N listening on AF=1 \"\\0{name}\""));
        assert_eq!(
            server.environment,
            [("PEERADDR", format!("\\0{name}-own").into()), ("SOCKADDR", format!("\\0{name}").into())]
        );
        // A name of the full length is another name.
        let opener = plan("ABSTRACT-CONNECT", &[&name], |settings| settings.socket.loose_length = true);
        let error = connect(opener, &quiet()).await.err().unwrap();
        assert_eq!(error.errno(), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn what_cannot_work_is_said_before_anything_is_opened() {
        let refused = |keyword: &str, name: &str, change: fn(&mut Settings)| {
            plan(keyword, &[name], change).err().unwrap().message().to_owned()
        };
        assert_eq!(refused("UNIX-CONNECT", "", |_| {}), "empty path");
        assert_eq!(refused("ABSTRACT-LISTEN", &"x".repeat(108), |_| {}), "the name has 108 bytes, most are 107");
        assert!(refused("UNIX-LISTEN", "/x", |settings| settings.socket.bind = Some(vec![b'y'])).contains("bind"));
        let template = |settings: &mut Settings| settings.socket.bind_tempname = Some(b"/tmp/XXX".to_vec());
        assert!(refused("UNIX-CLIENT", "/x", template).contains("XXXXXX"));
    }
}
