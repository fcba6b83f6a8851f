//! Options of files: how they are opened, their place, their attributes, their name.

use std::io;
use std::path::Path;

use nix::unistd::Whence;

use super::{AccessMode, Value};
use crate::sys;
use crate::sys::file::Attribute;

/// A `Plan` row that chooses the access mode; a false value leaves the choice alone.
macro_rules! access {
    ($mode:expr) => {
        $crate::option::Apply::Plan(|settings, value| {
            if value.is_true() {
                settings.file.access = Some($mode);
            }
            Ok(())
        })
    };
}

/// A row for one attribute of chattr(1).
macro_rules! attribute {
    ($flag:expr) => {
        $crate::option::Apply::Descriptor($crate::option::DescriptorMoment::Opened, |fd, value| {
            sys::file::set_attribute(fd, $flag, value.is_true())
        })
    };
}

fn owner_early(path: &Path, value: &Value) -> io::Result<()> {
    sys::file::set_path_owner(path, Some(&value.principal().map_err(io::Error::other)?), None)
}

fn group_early(path: &Path, value: &Value) -> io::Result<()> {
    sys::file::set_path_owner(path, None, Some(&value.principal().map_err(io::Error::other)?))
}

fn mode_early(path: &Path, value: &Value) -> io::Result<()> {
    sys::file::set_path_mode(path, value.number().map_err(io::Error::other)?)
}

/// Removes the name when the value is true; a name that does not exist is removed already.
fn remove(path: &Path, value: &Value) -> io::Result<()> {
    if value.is_true() { sys::file::remove(path) } else { Ok(()) }
}

crate::options! {
    /// Size of the pipe's buffer in bytes, F_SETPIPE_SZ of fcntl(2). Linux rounds up to a power of two pages;
    /// see pipe(7) for the limit.
    "f-setpipe-sz" | "pipesz" : Int, FIFO, Fd =>
        Descriptor(DescriptorMoment::Opened, |fd, value| sys::file::set_pipe_size(fd, value.c_int()));
    /// The file can only be appended to (chattr +a, see ioctl_iflags(2)).
    "fs-append" | "ext2-append" | "ext3-append" : Bool, REG, Fd => attribute!(Attribute::APPEND);
    /// The file system compresses the file (chattr +c, see ioctl_iflags(2)).
    "fs-compr" | "compr" | "ext2-compr" | "ext3-compr" : Bool, REG, Fd => attribute!(Attribute::COMPR);
    /// Changes of the directory are written at once (chattr +D, see ioctl_iflags(2)).
    "fs-dirsync" | "dirsync" | "ext2-dirsync" | "ext3-dirsync" : Bool, REG, Fd => attribute!(Attribute::DIRSYNC);
    /// The file cannot be changed, renamed or removed (chattr +i, see ioctl_iflags(2)).
    "fs-immutable" | "ext2-immutable" | "ext3-immutable" | "immutable" : Bool, REG, Fd =>
        attribute!(Attribute::IMMUTABLE);
    /// The file's data go through the journal too (chattr +j, see ioctl_iflags(2)).
    "fs-journal-data" | "ext2-journal-data" | "ext3-journal-data" | "journal" | "journal-data" : Bool, REG, Fd =>
        attribute!(Attribute::JOURNAL_DATA);
    /// The time of last access is not recorded (chattr +A, see ioctl_iflags(2)).
    "fs-noatime" | "ext2-noatime" | "ext3-noatime" : Bool, REG, Fd => attribute!(Attribute::NOATIME);
    /// dump(8) leaves the file out (chattr +d, see ioctl_iflags(2)).
    "fs-nodump" | "ext2-nodump" | "ext3-nodump" | "nodump" : Bool, REG, Fd => attribute!(Attribute::NODUMP);
    /// The end of the file gets a block of its own (chattr +t, see ioctl_iflags(2)).
    "fs-notail" | "ext2-notail" | "ext3-notail" : Bool, REG, Fd => attribute!(Attribute::NOTAIL);
    /// The blocks are overwritten when the file is removed (chattr +s, see ioctl_iflags(2)).
    "fs-secrm" | "ext2-secrm" | "ext3-secrm" | "secrm" : Bool, REG, Fd => attribute!(Attribute::SECRM);
    /// Changes of the file are written at once (chattr +S, see ioctl_iflags(2)).
    "fs-sync" | "ext2-sync" | "ext3-sync" : Bool, REG, Fd => attribute!(Attribute::SYNC);
    /// The directory is the top of a hierarchy for the block allocator (chattr +T, see ioctl_iflags(2)).
    "fs-topdir" | "ext2-topdir" | "ext3-topdir" | "topdir" : Bool, REG, Fd => attribute!(Attribute::TOPDIR);
    /// The contents are kept for undeletion (chattr +u, see ioctl_iflags(2)).
    "fs-unrm" | "ext2-unrm" | "ext3-unrm" | "unrm" : Bool, REG, Fd => attribute!(Attribute::UNRM);
    /// Cut or extend the file to this size in bytes, see ftruncate(2); sizes of 32 bits. Without a value 1.
    "ftruncate32" : Offset32, REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::truncate(fd, value.int()));
    /// Cut or extend the file to this size in bytes, see ftruncate(2). Without a value 1.
    "ftruncate64" | "ftruncate" | "truncate" : Offset, REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::truncate(fd, value.int()));
    /// Change the group owner of the name before it is opened, see chown(2).
    "group-early" | "gid-e" : Group, NAMED, PreOpen => Path(PathMoment::BeforeOpen, group_early);
    /// Move by so many bytes from the current place, see lseek(2); offsets of 32 bits. Without a value 1.
    "lseek32-cur" : Offset32, BLK | REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::seek(fd, value.int(), Whence::SeekCur));
    /// Move by so many bytes from the end of the file, see lseek(2); offsets of 32 bits. Without a value 1.
    "lseek32-end" : Offset32, BLK | REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::seek(fd, value.int(), Whence::SeekEnd));
    /// Move to this byte of the file, see lseek(2); offsets of 32 bits. Without a value 1.
    "lseek32-set" | "lseek32" : Offset32, BLK | REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::seek(fd, value.int(), Whence::SeekSet));
    /// Move by so many bytes from the current place, see lseek(2). Without a value 1.
    "lseek64-cur" | "seek-cur" : Offset, BLK | REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::seek(fd, value.int(), Whence::SeekCur));
    /// Move by so many bytes from the end of the file, see lseek(2). Without a value 1.
    "lseek64-end" | "seek-end" : Offset, BLK | REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::seek(fd, value.int(), Whence::SeekEnd));
    /// Move to this byte of the file, see lseek(2). Without a value 1.
    "lseek64-set" | "lseek" | "lseek64" | "seek" | "seek-set" : Offset, BLK | REG, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::seek(fd, value.int(), Whence::SeekSet));
    /// Create the file when it does not exist: O_CREAT, see open(2).
    "o-creat" | "creat" | "create" | "o-create" | "o_creat" | "o_create" : Bool, OPEN, Open => OpenFlag(libc::O_CREAT);
    /// Pass by the page cache: O_DIRECT, see open(2).
    "o-direct" | "direct" | "o_direct" : Bool, OPEN, Open => OpenFlag(libc::O_DIRECT);
    /// Fail when the name is not a directory: O_DIRECTORY, see open(2).
    "o-directory" | "directory" | "o_directory" : Bool, OPEN, Open => OpenFlag(libc::O_DIRECTORY);
    /// Each write waits until the data are on the device: O_DSYNC, see open(2).
    "o-dsync" | "dsync" | "o_dsync" : Bool, OPEN, Open => OpenFlag(libc::O_DSYNC);
    /// With `creat`, fail when the file exists: O_EXCL, see open(2).
    "o-excl" | "excl" | "o_excl" : Bool, OPEN, Open => OpenFlag(libc::O_EXCL);
    /// Allow files of 2 GiB and more: O_LARGEFILE, see open(2); nothing else is possible on 64 bit systems.
    "o-largefile" | "largefile" | "o_largefile" : Bool, OPEN, Open => OpenFlag(libc::O_LARGEFILE);
    /// A terminal does not become the controlling terminal of the process: O_NOCTTY, see open(2).
    "o-noctty" | "noctty" | "o_noctty" : Bool, OPEN, Open => OpenFlag(libc::O_NOCTTY);
    /// Fail when the name is a symbolic link: O_NOFOLLOW, see open(2).
    "o-nofollow" | "nofollow" | "o_nofollow" : Bool, OPEN, Open => OpenFlag(libc::O_NOFOLLOW);
    /// Open for reading only, whatever the direction of the address asks for: O_RDONLY, see open(2).
    "o-rdonly" | "o_rdonly" | "rdonly" : Bool, OPEN, Open => access!(AccessMode::Read);
    /// Open for reading and writing, whatever the direction of the address asks for: O_RDWR, see open(2).
    "o-rdwr" | "o_rdwr" | "rdwr" : Bool, OPEN, Open => access!(AccessMode::ReadWrite);
    /// Reads wait for writes to the same bytes: O_RSYNC, the same as O_SYNC on Linux, see open(2).
    "o-rsync" | "o_rsync" | "rsync" : Bool, OPEN, Open => OpenFlag(libc::O_RSYNC);
    /// Each write waits until data and metadata are on the device: O_SYNC, see open(2).
    "o-sync" | "o_sync" | "sync" : Bool, OPEN, Open => OpenFlag(libc::O_SYNC);
    /// Throw away what is in the file: O_TRUNC, see open(2).
    "o-trunc" | "trunc" : Bool, OPEN, Late => OpenFlag(libc::O_TRUNC);
    /// Open for writing only, whatever the direction of the address asks for: O_WRONLY, see open(2).
    "o-wronly" | "o_wronly" | "wronly" : Bool, OPEN, Open => access!(AccessMode::Write);
    /// Change the permission bits (octal) of the name before it is opened, see chmod(2).
    "perm-early" : Mode, NAMED, PreOpen => Path(PathMoment::BeforeOpen, mode_early);
    /// Remove the name before opening, after the changes of owner and permissions; see unlink(2).
    "unlink" | "delete" | "remove" : Bool, NAMED, PreOpen => Path(PathMoment::BeforeOpen, remove);
    /// Remove the name at the end, see unlink(2). By default on for FIFOs, UNIX sockets and the links of pseudo
    /// terminals, off for files.
    "unlink-close" : Bool, NAMED, Late => store!(file.unlink_close, value => Some(value.is_true()));
    /// Remove the name first of all, see unlink(2); a socket left behind does not stop a listener then.
    "unlink-early" | "new" : Bool, NAMED, Early => store!(file.unlink_early, value => value.is_true());
    /// Remove the name as soon as it is open, see unlink(2); the file lives on until it is closed.
    "unlink-late" : Bool, NAMED, PastOpen => Path(PathMoment::AfterOpen, remove);
    /// Change the owner of the name before it is opened, see chown(2).
    "user-early" | "uid-e" : User, NAMED, PreOpen => Path(PathMoment::BeforeOpen, owner_early);
    /// Do not convert line ends.
    "o-binary" | "bin" | "binary" : Bool, OPEN, Specific =>
        Unsupported("O_BINARY is not a flag of open(2) on Linux, where files are always binary");
    /// Write to the disk later.
    "o-defer" | "defer" | "o_defer" : Bool, OPEN, Specific => Unsupported("O_DEFER is a flag of AIX");
    /// Wait for the file to be opened by others.
    "o-delay" | "delay" | "o_delay" : Bool, OPEN, Specific => Unsupported("O_DELAY is a flag of AIX");
    /// Children do not inherit the descriptor.
    "o-noinherit" | "noinherit" : Bool, OPEN, Specific =>
        Unsupported("O_NOINHERIT is a flag of Windows; the option cloexec does this");
    /// Nobody else may open the file.
    "o-nshare" | "nshare" | "o_nshare" : Bool, OPEN, Specific => Unsupported("O_NSHARE is a flag of AIX");
    /// Private copy of the file.
    "o-priv" | "o_priv" | "priv" : Bool, OPEN, Specific => Unsupported("O_PRIV is not a flag of open(2) on Linux");
    /// Others may open the file for reading only.
    "o-rshare" | "o_rshare" | "rshare" : Bool, OPEN, Specific => Unsupported("O_RSHARE is a flag of AIX");
    /// Convert line ends.
    "o-text" | "text" : Bool, OPEN, Specific =>
        Unsupported("O_TEXT is not a flag of open(2) on Linux; the options cr and crnl convert line ends");
}
