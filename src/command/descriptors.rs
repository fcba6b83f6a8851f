//! The table of open descriptors that `-D` shows before bytes are moved; the columns are those of filan(1).

use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::fcntl::{FcntlArg, fcntl};

use crate::error::printable;
use crate::sys;
use crate::sys::time::LocalTime;

const HEADER: &str = "  FD  type\tdevice\tinode\tmode\tlinks\tuid\tgid\trdev\tsize\tblksize\tblocks\
                      \tatime\t\t\t\tmtime\t\t\t\tctime\t\t\t\tcloexec\tflags\tsigown\tsigio\n";

/// One line for each open descriptor, in order.
pub fn table() -> String {
    let mut numbers: Vec<i32> = fs::read_dir("/proc/self/fd")
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    numbers.sort_unstable();
    // The directory's own descriptor is closed by now and has no line.
    let lines = numbers.into_iter().filter_map(line);
    std::iter::once(HEADER.to_owned()).chain(lines).collect()
}

fn line(number: i32) -> Option<String> {
    let fd = sys::fd::borrow(number).ok()?;
    let data = fs::metadata(format!("/proc/self/fd/{number}")).ok()?;
    let flag = |argument| fcntl(fd, argument).unwrap_or(-1);
    let time = |seconds| LocalTime::from_seconds(seconds, 0).long();
    let mut line = format!("{number:4}: {}", type_of(&data));
    // Writing into a String cannot fail.
    let _ = write!(
        line,
        "\t{}\t{}\t0{:o}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        device(data.dev()),
        data.ino(),
        data.mode(),
        data.nlink(),
        data.uid(),
        data.gid(),
        device(data.rdev()),
        data.size(),
        data.blksize(),
        data.blocks(),
    );
    let _ = write!(
        line,
        "\t{}\t{}\t{}\t{}\tx{:06x}\t{}\t0{}",
        time(data.atime()),
        time(data.mtime()),
        time(data.ctime()),
        flag(FcntlArg::F_GETFD) & libc::FD_CLOEXEC,
        flag(FcntlArg::F_GETFL),
        sys::fd::owner(fd),
        socket(fd, &data),
    );
    line.push('\n');
    Some(line)
}

fn device(number: u64) -> String {
    format!("{},{}", libc::major(number), libc::minor(number))
}

fn type_of(data: &Metadata) -> &'static str {
    let kind = data.file_type();
    match () {
        () if kind.is_file() => "file",
        () if kind.is_dir() => "dir",
        () if kind.is_socket() => "socket",
        () if kind.is_fifo() => "pipe",
        () if kind.is_char_device() => "chrdev",
        () if kind.is_block_device() => "blkdev",
        () => "undef",
    }
}

/// The type and the two ends of a socket; nothing for anything else.
fn socket(fd: BorrowedFd<'_>, data: &Metadata) -> String {
    if !data.file_type().is_socket() {
        return String::new();
    }
    let socket = socket2::SockRef::from(&fd);
    let number = |value: std::io::Result<i32>| value.map_or_else(|_| "?".to_owned(), |value| value.to_string());
    let end = |address: std::io::Result<socket2::SockAddr>| match address {
        Ok(address) => end_of_socket(&address),
        Err(_) => "?".to_owned(),
    };
    format!(
        "\tTYPE={}\tPROTOCOL={}\t{} <-> {}",
        number(socket.r#type().map(i32::from)),
        number(socket.protocol().map(|protocol| protocol.map_or(0, i32::from))),
        end(socket.local_addr()),
        end(socket.peer_addr()),
    )
}

fn end_of_socket(address: &socket2::SockAddr) -> String {
    let family = address.family();
    if let Some(address) = address.as_socket() {
        return format!("AF={family} {address}");
    }
    match address.as_pathname() {
        Some(path) => format!("AF={family} \"{}\"", printable(path.as_os_str().as_encoded_bytes())),
        None => format!("AF={family} \"<anon>\""),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_line_has_the_columns_of_the_header() {
        let file = fs::File::open("/dev/null").unwrap();
        let line = line(file.as_raw_fd()).unwrap();
        let columns: Vec<_> = line.trim_end().split('\t').collect();
        assert_eq!(columns.len(), HEADER.split('\t').filter(|column| !column.trim().is_empty()).count());
        assert!(columns[0].ends_with(": chrdev") && columns[7] == "1,3", "{line}");
        assert_eq!(columns[14], "1");
    }

    #[test]
    fn a_socket_shows_its_ends() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = line(socket.as_raw_fd()).unwrap();
        let end = format!("\tTYPE=1\tPROTOCOL=6\tAF=2 {} <-> ?\n", socket.local_addr().unwrap());
        assert!(line.ends_with(&end), "{line}");
    }

    #[test]
    fn the_table_holds_what_is_open_now() {
        let file = fs::File::open("/dev/null").unwrap();
        let number = format!("\n{:4}: chrdev", file.as_raw_fd());
        assert!(table().contains(&number));
    }
}
