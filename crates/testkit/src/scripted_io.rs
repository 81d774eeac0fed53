//! A transport whose every read, write and fault is scripted.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// What one direction of a transport does from some byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every call fails.
    Error(io::ErrorKind),
    /// Reads find the end; writes take zero bytes.
    End,
    /// Nothing happens until [`Script::heal`].
    Stall,
    /// One call waits, its task is woken at once, and all goes on as if there had been no fault: a short read or write.
    Pause,
}

/// The transport: give it to the code under test, and keep the [`Script`].
///
/// ```
/// use fullduplex_testkit::{Fault, ScriptedIo};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (mut io, script) = ScriptedIo::new();
/// script.push("one read");
/// script.push("another");
/// script.push_end();
/// script.chunk_writes(4);
///
/// let mut got = [0; 64];
/// assert_eq!(io.read(&mut got).await?, 8);
/// assert_eq!(io.read(&mut got).await?, 7);
/// assert_eq!(io.read(&mut got).await?, 0);
/// io.write_all(b"answer").await?;
/// assert_eq!(script.writes(), [b"answ".to_vec(), b"er".to_vec()]);
///
/// script.fault_writes_at(6, Fault::Stall);
/// let stalled = tokio::time::timeout(std::time::Duration::from_millis(1), io.write_u8(0)).await;
/// assert!(stalled.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScriptedIo(Script);

/// The other end of a [`ScriptedIo`]: says what it does, and sees what was done to it.
#[derive(Clone, Debug)]
pub struct Script {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    reads: VecDeque<Vec<u8>>,
    read_end: bool,
    read: Direction,
    writes: Vec<Vec<u8>>,
    /// What was taken and waits for a flush, if writes are buffered.
    buffer: Option<Vec<u8>>,
    write: Direction,
    shutdowns: usize,
    dropped: bool,
    single_steps: bool,
}

/// What reading and writing have in common.
#[derive(Debug, Default)]
struct Direction {
    /// Bytes that went through.
    passed: usize,
    /// How many go through in one call.
    chunk: Option<usize>,
    fault: Option<(usize, Fault)>,
    waker: Option<Waker>,
    /// The last call was made to wait although it need not.
    waited: bool,
}

impl Direction {
    /// How many bytes the next call may move; or what it answers instead.
    fn allowance(&mut self, single_steps: bool, cx: &Context<'_>) -> Result<usize, Poll<Fault>> {
        if single_steps && !std::mem::replace(&mut self.waited, true) {
            cx.waker().wake_by_ref();
            return Err(Poll::Pending);
        }
        self.waited = false;
        let chunk = self.chunk.unwrap_or(usize::MAX);
        let Some((at, fault)) = self.fault else {
            return Ok(chunk);
        };
        match (at.saturating_sub(self.passed), fault) {
            (0, Fault::Stall) => Err(self.wait(cx)),
            (0, Fault::Pause) => {
                self.fault = None;
                cx.waker().wake_by_ref();
                Err(Poll::Pending)
            }
            (0, fault) => Err(Poll::Ready(fault)),
            (left, _) => Ok(chunk.min(left)),
        }
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl ScriptedIo {
    /// A transport on which nothing has arrived, and which takes all that is written.
    pub fn new() -> (Self, Script) {
        let script = Script {
            state: Arc::default(),
            changed: Arc::default(),
        };
        (Self(script.clone()), script)
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets bytes arrive; one read returns at most these.
    pub fn push(&self, bytes: impl Into<Vec<u8>>) {
        let mut state = self.state();
        state.reads.push_back(bytes.into());
        state.read.wake();
    }

    /// Lets the peer end its direction, behind what was pushed.
    pub fn push_end(&self) {
        let mut state = self.state();
        state.read_end = true;
        state.read.wake();
    }

    /// One read returns at most `n` bytes.
    pub fn chunk_reads(&self, n: usize) {
        self.state().read.chunk = Some(n);
    }

    /// One write takes at most `n` bytes.
    pub fn chunk_writes(&self, n: usize) {
        self.state().write.chunk = Some(n);
    }

    /// Writes are taken whole into a buffer, as TLS does; chunks and faults of writes meet the flush.
    pub fn buffer_writes(&self) {
        self.state().buffer.get_or_insert_default();
    }

    /// Every read and write first returns `Pending` once, and wakes its task at once.
    pub fn single_steps(&self) {
        self.state().single_steps = true;
    }

    /// From byte `n` on reads meet this fault.
    pub fn fault_reads_at(&self, n: usize, fault: Fault) {
        let mut state = self.state();
        state.read.fault = Some((n, fault));
        state.read.wake();
    }

    /// From byte `n` on writes meet this fault; the write that reaches it is short.
    pub fn fault_writes_at(&self, n: usize, fault: Fault) {
        let mut state = self.state();
        state.write.fault = Some((n, fault));
        state.write.wake();
    }

    /// Ends all faults.
    pub fn heal(&self) {
        let mut state = self.state();
        state.read.fault = None;
        state.write.fault = None;
        state.read.wake();
        state.write.wake();
    }

    /// What each call to write has moved, vectored ones joined: so many elements, so many system calls.
    pub fn writes(&self) -> Vec<Vec<u8>> {
        self.state().writes.clone()
    }

    /// All that was written.
    pub fn written(&self) -> Vec<u8> {
        self.state().writes.concat()
    }

    /// How many pushed bytes have been read.
    pub fn read(&self) -> usize {
        self.state().read.passed
    }

    /// How many pushed bytes have not been read.
    pub fn unread(&self) -> usize {
        self.state().reads.iter().map(Vec::len).sum()
    }

    /// How many times the write direction was shut down.
    pub fn shutdowns(&self) -> usize {
        self.state().shutdowns
    }

    /// The transport was dropped.
    pub fn is_dropped(&self) -> bool {
        self.state().dropped
    }

    /// Waits until `condition` holds; it is tried after each read, write, shutdown and drop of the transport. Put a deadline
    /// around it.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: it only looks.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }

    fn poll_read(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let single_steps = state.single_steps;
        let allowed = match state.read.allowance(single_steps, cx) {
            Ok(allowed) => allowed,
            Err(Poll::Pending) => return Poll::Pending,
            Err(Poll::Ready(Fault::Error(kind))) => return Poll::Ready(Err(kind.into())),
            Err(Poll::Ready(_)) => return Poll::Ready(Ok(())),
        };
        let Some(arrived) = state.reads.front_mut() else {
            return if state.read_end {
                Poll::Ready(Ok(()))
            } else {
                state.read.wait(cx)
            };
        };
        let n = allowed.min(arrived.len()).min(buf.remaining());
        let rest = arrived.split_off(n);
        buf.put_slice(arrived);
        if rest.is_empty() {
            state.reads.pop_front();
        } else {
            *arrived = rest;
        }
        state.read.passed += n;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.shutdowns > 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if let Some(buffer) = &mut state.buffer {
            let held = buffer.len();
            buffer.extend(bufs.iter().flat_map(|buf| buf.iter().copied()));
            return Poll::Ready(Ok(buffer.len() - held));
        }
        drop(state);
        self.poll_pass(cx, bufs)
    }

    /// Passes on what is buffered.
    fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let held = self.state().buffer.clone().unwrap_or_default();
            if held.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let n = ready!(self.poll_pass(cx, &[IoSlice::new(&held)]))?;
            self.state().buffer = Some(held[n..].to_vec());
        }
    }

    /// What reaches the other end.
    fn poll_pass(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let single_steps = state.single_steps;
        let allowed = match state.write.allowance(single_steps, cx) {
            Ok(allowed) => allowed,
            Err(Poll::Pending) => return Poll::Pending,
            Err(Poll::Ready(Fault::Error(kind))) => return Poll::Ready(Err(kind.into())),
            Err(Poll::Ready(_)) => return Poll::Ready(Ok(0)),
        };
        let mut taken: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        taken.truncate(allowed);
        let n = taken.len();
        state.write.passed += n;
        state.writes.push(taken);
        Poll::Ready(Ok(n))
    }

    /// Tells whoever waits in [`until`](Self::until) that something was done.
    fn noting<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.changed.notify_waiters();
        }
        polled
    }
}

impl AsyncRead for ScriptedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.noting(self.0.poll_read(cx, buf))
    }
}

impl AsyncWrite for ScriptedIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.noting(self.0.poll_write(cx, &[IoSlice::new(buf)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.noting(self.0.poll_write(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.noting(self.0.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        self.0.state().shutdowns += 1;
        self.0.noting(Poll::Ready(Ok(())))
    }
}

impl Drop for ScriptedIo {
    fn drop(&mut self) {
        self.0.state().dropped = true;
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn each_push_is_a_read_and_chunks_cut_it() {
        let (mut io, script) = ScriptedIo::new();
        script.push("abc");
        script.push("de");
        script.push_end();
        let mut buf = [0; 8];
        assert_eq!(io.read(&mut buf).await.unwrap(), 3);
        script.chunk_reads(1);
        assert_eq!(io.read(&mut buf).await.unwrap(), 1);
        assert_eq!(script.unread(), 1);
        assert_eq!(io.read(&mut buf).await.unwrap(), 1);
        assert_eq!(io.read(&mut buf).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_by_a_push() {
        let (mut io, script) = ScriptedIo::new();
        let reader = async {
            let mut buf = [0; 8];
            io.read(&mut buf).await.unwrap()
        };
        let pusher = async {
            tokio::task::yield_now().await;
            script.push("abc");
        };
        assert_eq!(tokio::join!(reader, pusher).0, 3);
    }

    #[tokio::test]
    async fn a_stalled_writer_is_woken_by_healing_and_its_writes_are_recorded() {
        let (mut io, script) = ScriptedIo::new();
        script.fault_writes_at(4, Fault::Stall);
        let writer = async {
            io.write_all(b"abcdef").await.unwrap();
            io.shutdown().await.unwrap();
            io.write(b"g").await.unwrap_err().kind()
        };
        let healer = async {
            script.until(|script| script.written().len() == 4).await;
            tokio::task::yield_now().await;
            script.heal();
        };
        let (error, ()) = tokio::join!(writer, healer);
        assert_eq!(error, io::ErrorKind::BrokenPipe);
        assert_eq!(script.writes(), [b"abcd".to_vec(), b"ef".to_vec()]);
        assert_eq!(script.shutdowns(), 1);
    }

    #[tokio::test]
    async fn faults_come_at_their_byte() {
        let (mut io, script) = ScriptedIo::new();
        script.push("abcd");
        script.fault_reads_at(2, Fault::Error(io::ErrorKind::ConnectionReset));
        let mut buf = [0; 8];
        assert_eq!(io.read(&mut buf).await.unwrap(), 2);
        let error = io.read(&mut buf).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        script.fault_writes_at(0, Fault::End);
        assert_eq!(io.write(b"x").await.unwrap(), 0);
        drop(io);
        assert!(script.is_dropped());
    }

    #[tokio::test]
    async fn a_pause_makes_one_read_and_one_write_short() {
        let (mut io, script) = ScriptedIo::new();
        script.push("abcd");
        script.fault_reads_at(1, Fault::Pause);
        script.fault_writes_at(3, Fault::Pause);
        let mut buf = [0; 8];
        assert_eq!(io.read(&mut buf).await.unwrap(), 1);
        assert_eq!(io.read(&mut buf).await.unwrap(), 3);
        io.write_all(b"efgh").await.unwrap();
        assert_eq!(script.writes(), [b"efg".to_vec(), b"h".to_vec()]);
    }

    #[tokio::test]
    async fn single_steps_make_every_call_wait_once() {
        let (mut io, script) = ScriptedIo::new();
        script.single_steps();
        script.push("a");
        let mut polls = 0;
        let mut buf = [0; 8];
        let mut read = pin!(io.read(&mut buf));
        std::future::poll_fn(|cx| {
            polls += 1;
            read.as_mut().poll(cx)
        })
        .await
        .unwrap();
        assert_eq!(polls, 2);
    }
}
