//! Options that change who the process is and where it stands. They are for the child where there is one.

use super::Value;

/// The name of a network namespace: one component of a path.
fn name(value: &Value) -> Result<String, String> {
    let name = value.text()?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err("is not the name of a network namespace".to_owned());
    }
    Ok(name)
}

crate::options! {
    /// Working directory while the address is opened; the working directory of a child.
    "chdir" | "cd" : Text, ALL, Init => store!(identity.chdir, value => Some(value.path()));
    /// Change the root directory after the address has been opened, see chroot(2). Privileged.
    "chroot" : Text, PROCESS, Late => store!(identity.chroot, value => Some(value.path()));
    /// Change the root directory before the address is opened, see chroot(2). Privileged.
    "chroot-early" : Text, PROCESS, Early => store!(identity.chroot_early, value => Some(value.path()));
    /// Open the address in this network namespace, a name in /run/netns; see ip-netns(8). Privileged.
    "netns" : Text, PROCESS, Init => store!(identity.netns, value => Some(name(value)?));
    /// Take this group id after the address has been opened, see setgid(2).
    "setgid" : Group, PROCESS, Late2 => store!(identity.setgid, value => Some(value.principal()?));
    /// Take this group id before the address is opened, see setgid(2).
    "setgid-early" : Group, PROCESS, Early => store!(identity.setgid_early, value => Some(value.principal()?));
    /// Begin a session without a controlling terminal, see setsid(2).
    "setsid" | "sid" : Bool, PROCESS, Late => store!(program.setsid, value => value.is_true());
    /// Take this user id after the address has been opened, see setuid(2).
    "setuid" : User, PROCESS, Late2 => store!(identity.setuid, value => Some(value.principal()?));
    /// Take this user id before the address is opened, see setuid(2).
    "setuid-early" : User, PROCESS, Early => store!(identity.setuid_early, value => Some(value.principal()?));
    /// Become this user, with its groups, after the address has been opened; sets USER, LOGNAME, HOME and
    /// SHELL.
    "substuser" | "su" : User, PROCESS, Late2 => store!(identity.substuser, value => Some(value.principal()?));
    /// As `substuser`, but the user is looked up before a `chroot`.
    "substuser-delayed" | "su-d" : User, PROCESS, Init =>
        store!(identity.substuser_delayed, value => Some(value.principal()?));
    /// Become this user, with its groups, before the address is opened; sets USER, LOGNAME, HOME and SHELL.
    "substuser-early" | "su-e" : User, PROCESS, Early =>
        store!(identity.substuser_early, value => Some(value.principal()?));
    /// File mode creation mask, octal, while the address is opened; the mask of a child. See umask(2).
    "umask" : Mode, ALL, Init => store!(identity.umask, value => Some(value.number()?));
    /// Take all modules off the stream.
    "streams-i-pop-all" | "i-pop-all" | "pop-all" : Flag, ALL, Specific => Unsupported("Linux has no STREAMS");
    /// Push a module onto the stream.
    "streams-i-push" | "i-push" | "push" : Text, ALL, Specific => Unsupported("Linux has no STREAMS");
}
