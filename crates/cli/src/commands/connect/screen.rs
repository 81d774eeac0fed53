//! What is shown above a prompt, in the order in which it came.
//!
//! The editor's own printer has a queue while a line is read and writes at once while none is, so that what comes later may be
//! shown earlier. It is used to wake the editor only: the editor draws its prompt anew, and the news is drawn with it.

use std::{
    borrow::Cow,
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use rustyline::{
    Editor, ExternalPrinter, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::FileHistory, validate::Validator,
};

/// What the editor shows when it is woken, as it has to show something that ends a line: nothing that can be seen.
const WAKE: &str = "\x1b[A\n";

/// How long at most the editor is waited for at the end: a terminal that takes nothing may hold it up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads lines.
pub(super) type LineEditor = Editor<News, FileHistory>;

/// What came and is not shown yet; for the editor, part of its prompt.
#[derive(Debug, Clone, Default)]
pub(super) struct News(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// While a line is read it is the editor who writes.
    is_reading: bool,
    text: String,
    /// How often the editor began to draw, in all and before this line.
    draws: usize,
    draws_before: usize,
    is_over: bool,
}

impl News {
    /// Reads a line, if it is not over.
    pub(super) fn readline(
        &self,
        editor: &mut LineEditor,
        prompt: &str,
    ) -> Result<String, ReadlineError> {
        {
            let mut state = self.state();
            if state.is_over {
                return Err(ReadlineError::Eof);
            }
            state.is_reading = true;
            state.draws_before = state.draws;
        }
        let line = editor.readline(prompt);
        let mut state = self.state();
        state.is_reading = false;
        let text = mem::take(&mut state.text);
        // A terminal that is gone is for the next line to find out.
        write_out(text.as_bytes()).ok();
        self.0.changed.notify_all();
        line
    }

    /// Ends it: from now on nobody changes the terminal's settings but back to what they were.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        // The editor draws once it has changed them.
        let is_changing = |state: &mut State| state.is_reading && state.draws == state.draws_before;
        let changed = &self.0.changed;
        drop(changed.wait_timeout_while(state, PATIENCE, is_changing));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the editor reads no line, or this is so.
    fn wait(&self, state: MutexGuard<'_, State>, is_so: impl Fn(&State) -> bool) {
        let waits = |state: &mut State| state.is_reading && !is_so(state);
        // Poisoned or not, it is over.
        drop(self.0.changed.wait_while(state, waits));
    }
}

impl Highlighter for News {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _is_default: bool,
    ) -> Cow<'b, str> {
        let mut state = self.state();
        state.draws += 1;
        let text = mem::take(&mut state.text);
        self.0.changed.notify_all();
        if text.is_empty() {
            Cow::Borrowed(prompt)
        } else {
            Cow::Owned(text + prompt)
        }
    }
}

impl Completer for News {
    type Candidate = String;
}

impl Hinter for News {
    type Hint = String;
}

impl Validator for News {}
impl Helper for News {}

/// Takes what is to be shown.
#[derive(Debug)]
pub(super) struct Screen {
    news: News,
    wake: SyncSender<()>,
}

impl Screen {
    /// # Errors
    ///
    /// There can be no further thread.
    pub(super) fn new(
        news: News,
        mut editor: impl ExternalPrinter + Send + 'static,
    ) -> io::Result<Self> {
        // Waking may take until the editor reads again, and nobody needs more than to be woken once more.
        let (wake, woken) = sync_channel(1);
        thread::Builder::new()
            .name("wake".to_owned())
            .spawn(
                move || {
                    while woken.recv().is_ok() && editor.print(WAKE.to_owned()).is_ok() {}
                },
            )?;
        Ok(Self { news, wake })
    }

    fn wake(&self) {
        // If it can't be noted, that it is to be woken is noted already; or it reads no more.
        self.wake.try_send(()).ok();
    }
}

impl Write for Screen {
    /// Takes whole lines, and no more before the editor has begun to draw them.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut state = self.news.state();
        if state.is_reading {
            state.text += &String::from_utf8_lossy(lines);
            self.wake();
            self.news.wait(state, |state| state.text.is_empty());
        } else {
            write_out(lines)?;
        }
        Ok(lines.len())
    }

    /// Waits until all is drawn: until the editor draws again.
    fn flush(&mut self) -> io::Result<()> {
        let state = self.news.state();
        let draws = state.draws;
        self.wake();
        self.news.wait(state, |state| state.draws != draws);
        Ok(())
    }
}

fn write_out(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}
