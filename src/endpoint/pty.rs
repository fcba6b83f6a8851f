//! PTY: a pseudo terminal; its master is the channel, its slave (`/dev/pts/N`) is for others to open.
//!
//! Unless `wait-slave` is given the slave is held open here as well, as socat(1) does: clients may open
//! and close it as often as they like, the channel does not end, and what is written while nobody has it
//! open waits in the terminal. With `wait-slave` the relay begins when somebody opens it and ends when
//! the last one closes it (EIO on the master, see pty(7)), or `sitout-eio` later.
//!
//! Where the other side has a real line, the terminal stands for it: see [`Mirror`].
//!
//! `openpty` and `ptmx` mean the same here: openpty(3) opens /dev/ptmx.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request};
use crate::channel::{Channel, Class, Mirror, MirrorControl, Port, PortSink, PortSource, Sink, SitOut, Source};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::line::{Change, Line, Pseudo};
use crate::log::Log;
use crate::notice;
use crate::option::{DescriptorMoment, Groups, Options, PathMoment, Settings};
use crate::sys::termios::Termios;
use crate::sys::{self, terminal};

/// The kinds of this file.
pub(super) static KINDS: &[Kind] = &[Kind {
    name: "PTY",
    aliases: &[],
    usage: "",
    params: (0, 0),
    groups: Groups::FD.and(Groups::NAMED).and(Groups::TERMIOS).and(Groups::PTY),
    direction: Direction::Both,
    doc: "Makes a pseudo terminal and uses its master side. The name of the slave is logged (`PTY is /dev/pts/N`), \
          and `link` makes a symbolic link to it. Where the other address is a serial line, near or far, what a \
          program sets on the slave is set there: speed, stop bits, flow control and flushes. Size and parity are options of \
          that address: pseudo terminals have none.",
    plan: |request| Ok(plan(request)),
}];

/// Pause between looks for somebody opening the slave, where inotify(7) does not tell.
const INTERVAL: Duration = Duration::from_secs(1);

struct Pty {
    options: Arc<Options>,
    direction: Direction,
}

fn plan(request: &Request<'_>) -> Opener {
    Opener::Connect(Arc::new(Pty { options: Arc::clone(&request.options), direction: request.direction }))
}

impl Connect for Pty {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move {
            let settings = &self.options.settings;
            let mut terminal = Terminal::open(&self.options, &context.log)?;
            let made = Termios::read(terminal.master.as_fd()).map_err(|error| Error::open(Phase::Open, error))?;
            notice!(context.log, "PTY is {}", terminal.name.display());
            if settings.program.ctty
                && let Some(slave) = &terminal.slave
            {
                terminal::take_control(slave.as_fd())
                    .map_err(|error| Error::open(Phase::Option, error).at("option ctty"))?;
            }
            if settings.pty.wait_slave {
                terminal.wait_for_slave(settings.pty.interval.unwrap_or(INTERVAL)).await?;
            }
            self.channel(terminal, &made, &context.log).map_err(|error| Error::open(Phase::Open, error))
        })
    }
}

impl Pty {
    /// The channel of a terminal whose settings become those of the other side's line, if that has one, and which
    /// shows the settings that the other side makes, if that makes any.
    fn channel(&self, terminal: Terminal, made: &Termios, log: &Log) -> io::Result<Channel> {
        let settings = &self.options.settings;
        let wish = wish(&self.options, made);
        let (control, mut line) = (Arc::new(MirrorControl::default()), None);
        let mirrored = |source, port: &Arc<Port>| {
            line = Some(Arc::new(Pseudo::new(port)));
            let sat_out = settings.pty.sitout_eio.is_some();
            Box::new(Mirror::new(source, port, Arc::clone(&control), wish, made, sat_out, log)) as Box<dyn Source>
        };
        let mut channel = terminal.into_channel_with_port(settings, self.direction, mirrored)?;
        channel.line = line.map(|line| line as Arc<dyn Line>);
        channel.control = Some(control);
        Ok(channel)
    }
}

/// What the options of the terminal ask of a line. Size and parity are not among it: the kernel refuses them for
/// pseudo terminals, so that they are options of the other address.
fn wish(options: &Options, settings: &Termios) -> Change {
    let any = |names: &[&str]| names.iter().any(|name| options.has(name));
    let baud = settings.output_speed();
    Change {
        baud: Some(baud).filter(|_| any(&[&format!("b{baud}"), "ospeed", "ispeed"])),
        stop_bits: any(&["cstopb"]).then(|| settings.stop_bits()),
        flow_out: any(&["crtscts", "ixon"]).then(|| settings.flow_out()),
        flow_in: any(&["crtscts", "ixoff"]).then(|| settings.flow_in()),
        ..Change::default()
    }
}

/// An open pseudo terminal.
pub(super) struct Terminal {
    pub master: OwnedFd,
    slave: Option<OwnedFd>,
    pub name: PathBuf,
    link: Option<Link>,
}

impl Terminal {
    /// Makes one and applies the options: those of terminals, owner and mode of the slave, the link.
    pub fn open(options: &Options, log: &Log) -> Result<Self> {
        let settings = &options.settings;
        let link = settings.pty.link.as_deref();
        for moment in [PathMoment::Early, PathMoment::BeforeOpen] {
            link.map_or(Ok(()), |link| options.on_path(moment, link))?;
        }
        let pair = terminal::open_pair().map_err(|error| Error::open(Phase::Open, error))?;
        // Mode and owner belong to the slave: the master's are those of /dev/ptmx.
        options.on_descriptor(DescriptorMoment::Opened, pair.slave.as_fd())?;
        options.set_up_terminal(pair.slave.as_fd(), log)?;
        if let Some(mode) = settings.file.mode {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&pair.name, permissions).map_err(|error| Error::open(Phase::Option, error))?;
        }
        options.on_path(PathMoment::AfterOpen, &pair.name)?;
        options.on_descriptor(DescriptorMoment::Late, pair.slave.as_fd())?;
        let link = link.map(|link| Link::create(link, &pair.name, settings)).transpose()?;
        if let Some(link) = &link {
            crate::info!(log, "symlink(\"{}\", \"{}\")", link.target.display(), link.path.display());
        }
        Ok(Self { master: pair.master, slave: Some(pair.slave), name: pair.name, link })
    }

    /// The slave, for a program; it is no longer held here.
    pub fn take_slave(&mut self) -> Option<OwnedFd> {
        self.slave.take()
    }

    /// Lets go of the slave and waits until somebody else has it open. Somebody who was quick enough to
    /// close it again counts, if anything was written.
    async fn wait_for_slave(&mut self, interval: Duration) -> Result<()> {
        let failed = |error| Error::open(Phase::Wait, error);
        let opened = watch_opening(&self.name).ok();
        self.slave = None;
        while terminal::slave(self.master.as_fd()).map_err(failed)? == terminal::Slave::Closed {
            let Some(opened) = &opened else {
                tokio::time::sleep(interval).await;
                continue;
            };
            if let Ok(Ok(mut ready)) = tokio::time::timeout(interval, opened.readable()).await {
                // What it was does not matter, only that it is read.
                let _ = sys::io::read(opened.get_ref().as_fd(), &mut [0; 1024]);
                ready.clear_ready();
            }
        }
        Ok(())
    }

    /// The master as a channel, with `wrap` around what is read. The link, and the slave where it is held,
    /// live as long as the channel.
    pub fn into_channel(
        self,
        settings: &Settings,
        direction: Direction,
        wrap: impl FnOnce(Box<dyn Source>) -> Box<dyn Source>,
    ) -> io::Result<Channel> {
        self.into_channel_with_port(settings, direction, |source, _| wrap(source))
    }

    /// As [`Terminal::into_channel`], where what is around has to do with the master itself as well.
    fn into_channel_with_port(
        self,
        settings: &Settings,
        direction: Direction,
        wrap: impl FnOnce(Box<dyn Source>, &Arc<Port>) -> Box<dyn Source>,
    ) -> io::Result<Channel> {
        let port = Arc::new(Port::of_class(self.master, Class::Master)?);
        let source = direction.reads().then(|| PortSource::new(Arc::clone(&port), &settings.flow));
        let sink = direction.writes().then(|| PortSink::new(Arc::clone(&port), &settings.flow));
        let sat_out = settings.pty.sitout_eio;
        let source = source.map(|source| match sat_out {
            Some(time) => Box::new(SitOut::new(source, time)) as Box<dyn Source>,
            None => Box::new(source),
        });
        let sink = sink.map(|sink| match sat_out {
            Some(time) => Box::new(SitOut::new(sink, time)) as Box<dyn Sink>,
            None => Box::new(sink),
        });
        let mut channel = Channel::halves(source.map(|source| wrap(source, &port)), sink, settings);
        if let Some(link) = self.link {
            channel = channel.guarded(link);
        }
        if let Some(slave) = self.slave {
            channel = channel.guarded(slave);
        }
        Ok(channel)
    }
}

/// Tells when `path` is opened; inotify(7).
fn watch_opening(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(path, AddWatchFlags::IN_OPEN)?;
    sys::fd::register(inotify.into()).map_err(|(_, error)| error)
}

/// A symbolic link to a slave, removed when dropped if it still points there.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    target: PathBuf,
    keep: bool,
}

impl Link {
    /// Makes the link, in place of another link if there is one. Nothing else is replaced, unless
    /// `unlink-early` allows it for files.
    fn create(path: &Path, target: &Path, settings: &Settings) -> Result<Self> {
        // The working directory may be another one when the link is removed.
        let path = std::path::absolute(path).map_err(|error| Error::open(Phase::Open, error))?;
        let made = match std::os::unix::fs::symlink(target, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                replace_link(&path, target, settings.file.unlink_early)
            }
            result => result.map_err(|error| Error::open(Phase::Open, error)),
        };
        made.map_err(|error| error.at(format!("link {}", path.display())))?;
        Ok(Self { path, target: target.to_owned(), keep: settings.file.unlink_close == Some(false) })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.keep && std::fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Puts a link to `target` in the place of the link at `path`, with no moment without one. The two
/// change places, so that it is certain what is removed, even when others are at work there.
fn replace_link(path: &Path, target: &Path, replace_files: bool) -> Result<()> {
    let failed = |error| Error::open(Phase::Open, error);
    let aside = link_aside(path, target).map_err(failed)?;
    let exchange = || renameat2(AT_FDCWD, &aside, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE);
    if let Err(errno) = exchange() {
        let _ = std::fs::remove_file(&aside);
        return Err(failed(errno.into()));
    }
    let kind = std::fs::symlink_metadata(&aside).map_err(failed)?.file_type();
    if kind.is_symlink() || (replace_files && !kind.is_dir()) {
        return std::fs::remove_file(&aside).map_err(failed);
    }
    exchange().map_err(|errno| failed(errno.into()))?;
    let _ = std::fs::remove_file(&aside);
    let what = if kind.is_dir() { "a directory" } else { "a file that is no symbolic link" };
    let text = format!("there is {what} of this name, which is not replaced");
    Err(Error::new(ErrorKind::Open, Phase::Open, text).hint("choose another name, or remove it first"))
}

/// Makes the link under a name of its own beside `path`.
fn link_aside(path: &Path, target: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut tries = 0;
    loop {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let aside = path.with_file_name(name);
        match std::os::unix::fs::symlink(target, &aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < 16 => tries += 1,
            result => return result.map(|()| aside),
        }
    }
}

/// Two terminals that are one cable: what is written to one slave can be read from the other.
pub struct VirtualPair {
    /// The names of the slaves, for programs to open: `/dev/pts/N`.
    pub names: (PathBuf, PathBuf),
    /// The masters, to be relayed between.
    pub channels: (Channel, Channel),
}

/// Makes two raw pseudo terminals, with links to their slaves where a path is given. The slaves are held
/// open: programs may come and go, and the channels do not end by it. Must be called inside a runtime.
///
/// # Errors
/// When no pseudo terminal is to be had, or a link cannot be made (see the option `link`).
pub fn virtual_pair(first: Option<&Path>, second: Option<&Path>) -> Result<VirtualPair> {
    let (name, channel) = raw_terminal(first)?;
    let (other_name, other_channel) = raw_terminal(second)?;
    Ok(VirtualPair { names: (name, other_name), channels: (channel, other_channel) })
}

fn raw_terminal(link: Option<&Path>) -> Result<(PathBuf, Channel)> {
    let failed = |error| Error::open(Phase::Open, error);
    let settings = Settings::default();
    let pair = terminal::open_pair().map_err(failed)?;
    terminal::make_raw(pair.slave.as_fd()).map_err(failed)?;
    let link = link.map(|link| Link::create(link, &pair.name, &settings)).transpose()?;
    let name = pair.name.clone();
    let terminal = Terminal { master: pair.master, slave: Some(pair.slave), name: pair.name, link };
    let channel = terminal.into_channel(&settings, Direction::Both, |source| source).map_err(failed)?;
    Ok((name, channel))
}

#[cfg(test)]
#[path = "pty_tests.rs"]
mod tests;
