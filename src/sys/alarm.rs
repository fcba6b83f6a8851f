//! An alarm clock for one thread: it interrupts calls that block and know no time limit.

use std::io;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::Duration;

/// The signal, once one was found that nobody else uses.
static SIGNAL: OnceLock<Option<i32>> = OnceLock::new();

/// Interrupts the blocking calls of the thread that made it, again and again, until it is dropped: they fail with
/// EINTR. All other signals are kept from the thread meanwhile: they are for those who wait for them.
#[derive(Debug)]
pub struct Alarm {
    timer: libc::timer_t,
    before: libc::sigset_t,
    /// The timer and the mask are those of one thread.
    _thread: PhantomData<*const ()>,
}

/// A thread that can be interrupted from another one while its [`Alarm`] lives.
#[derive(Debug, Clone, Copy)]
pub struct Sleeper(libc::pid_t);

impl Alarm {
    /// Rings every `period`.
    ///
    /// # Errors
    /// EAGAIN when no timer or no signal is left.
    pub fn every(period: Duration) -> io::Result<Self> {
        let signal = signal().ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN))?;
        let mut event = std::mem::MaybeUninit::<libc::sigevent>::zeroed();
        let mut timer = std::ptr::null_mut();
        // SAFETY: all zeros is a value of sigevent, and the pointers live as long as the call.
        let made = unsafe {
            let event = event.assume_init_mut();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = libc::gettid();
            libc::timer_create(libc::CLOCK_MONOTONIC, event, &raw mut timer)
        };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        let alarm = Self { timer, before: hear_only(signal), _thread: PhantomData };
        alarm.ring_every(period)?;
        Ok(alarm)
    }

    /// Changes the period; zero is no ringing.
    pub fn ring_every(&self, period: Duration) -> io::Result<()> {
        let period = libc::timespec {
            tv_sec: libc::time_t::try_from(period.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(period.subsec_nanos().cast_signed()),
        };
        let setting = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: the timer is ours until the drop, and the setting lives as long as the call.
        let set = unsafe { libc::timer_settime(self.timer, 0, &raw const setting, std::ptr::null_mut()) };
        if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// A handle for others.
    pub fn sleeper(&self) -> Sleeper {
        // SAFETY: gettid has no preconditions.
        Sleeper(unsafe { libc::gettid() })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: the timer is ours and not used again; the mask is the one this thread had. A signal that is
        // still on its way finds the handler, which stays.
        unsafe {
            libc::timer_delete(self.timer);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut());
        }
    }
}

impl Sleeper {
    /// Interrupts the call the thread is in, if it is in one. The thread must not have ended.
    pub fn wake(self) {
        if let Some(signal) = signal() {
            // SAFETY: tgkill takes numbers only. Nothing can be done about a failure; the alarm rings anyway.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.0, signal) };
        }
    }
}

/// Lets only this signal through to the thread; gives the mask it had.
fn hear_only(signal: i32) -> libc::sigset_t {
    let mut sets = [std::mem::MaybeUninit::<libc::sigset_t>::zeroed(); 2];
    let [others, before] = &mut sets;
    // SAFETY: the sets live as long as the calls, which fill them; all zeros is a value of theirs.
    unsafe {
        libc::sigfillset(others.as_mut_ptr());
        libc::sigdelset(others.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_SETMASK, others.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// The signal of all alarms: a real-time signal that nobody had a use for when the first one was made. Its
/// handler stays; it does nothing, but calls are interrupted by it.
fn signal() -> Option<i32> {
    *SIGNAL.get_or_init(|| (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|signal| take(*signal)))
}

extern "C" fn ring(_signal: libc::c_int) {}

/// Installs the handler, if the signal has none.
fn take(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the structures live as long as the calls; all zeros is a value of theirs: no flags, so without
    // SA_RESTART. The handler does nothing, which is safe at any moment.
    unsafe {
        if libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) < 0
            || action.assume_init_ref().sa_sigaction != libc::SIG_DFL
        {
            return false;
        }
        let mut ours = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        ours.assume_init_mut().sa_sigaction = ring as *const () as usize;
        libc::sigaction(signal, ours.as_ptr(), std::ptr::null_mut()) == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    /// Blocks for ever: nobody writes to the pipe.
    fn block() -> io::Error {
        use std::os::fd::AsFd;
        let (reader, _writer) = io::pipe().unwrap();
        crate::sys::io::read(reader.as_fd(), &mut [0; 1]).unwrap_err()
    }

    #[test]
    fn it_interrupts_what_blocks_again_and_again() {
        let begun = Instant::now();
        let alarm = Alarm::every(Duration::from_millis(5)).unwrap();
        for _ in 0..3 {
            assert_eq!(block().raw_os_error(), Some(libc::EINTR));
        }
        assert!(begun.elapsed() >= Duration::from_millis(14), "{:?}", begun.elapsed());
        drop(alarm);
    }

    #[test]
    fn others_can_interrupt_it_before_its_time() {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || {
            let alarm = Alarm::every(Duration::from_secs(20)).unwrap();
            sender.send(alarm.sleeper()).unwrap();
            block().raw_os_error()
        });
        let sleeper = receiver.recv().unwrap();
        // It may not be in the call yet.
        while !thread.is_finished() {
            sleeper.wake();
            std::thread::yield_now();
        }
        assert_eq!(thread.join().unwrap(), Some(libc::EINTR));
    }
}
