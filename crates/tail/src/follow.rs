//! Following one name, a step at a time.
//!
//! A file is followed by its name: whatever regular file the name leads to is read from its
//! beginning on, and a file that loses the name is read to its end first. What happens to a file is
//! only judged at its end, in this order:
//!
//! 1. It is shorter than what was read, or begins otherwise: it was truncated or written anew in
//!    place. Reading starts over. Bytes that were not read yet are lost; nobody can know how many.
//! 2. The name leads to another file that has content: the writer has moved on. The old file is read
//!    to its end once more, then the new one from its beginning.
//! 3. The name leads nowhere, or to an empty file: the writer may still write to the old one, which
//!    is read on until it was quiet for [`Options::settle`](crate::Options::settle).
//!
//! No clock, no waiting, no thread: [`Follower::poll`] is called whenever there may be something
//! new.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    FileEvent, FollowError,
    backward::BackwardScan,
    bookmark::FileId,
    file::{Identity, Opened, read_at},
    name::Name,
};

/// What one call of [`Follower::poll`] found.
#[derive(Debug)]
pub(crate) enum Change {
    /// So many bytes were put into the buffer; they follow those of the call before.
    Bytes(usize),
    /// Something happened to the file. What was being read is over; reading goes on in `next`.
    Event {
        event: FileEvent,
        next: Option<Beginning>,
    },
}

/// A file and where reading it starts.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) file: Arc<File>,
    pub(crate) id: FileId,
    pub(crate) start: u64,
}

/// Reads what is appended to the file of one name, through rotation, truncation and absence.
#[derive(Debug)]
pub(crate) struct Follower {
    name: Name,
    settle: Duration,
    current: Option<Current>,
    /// What comes after `current`, once it has been read to its end for the last time.
    next: Option<Next>,
    /// The file that was read last, in case the very same comes back.
    left: Option<Trace>,
    /// The last complaint, so that it is not repeated at every poll.
    complaint: Option<String>,
}

impl Follower {
    /// Starts to follow `name` at its last line that has no line end yet.
    ///
    /// Also gives where that is, or `None` while there is no such file.
    ///
    /// # Errors
    ///
    /// When the path leads to what cannot be followed.
    pub(crate) fn start(
        name: Name,
        settle: Duration,
    ) -> Result<(Self, Option<Beginning>), FollowError> {
        let current = match name.open() {
            Ok(opened) => Some(Current::at_last_line(name.path(), opened)?),
            Err(error) if error.is_missing() => None,
            Err(error) => return Err(error),
        };
        let beginning = current.as_ref().map(Current::beginning);
        let follower = Self {
            name,
            settle,
            current,
            next: None,
            left: None,
            complaint: None,
        };
        Ok((follower, beginning))
    }

    /// Takes one step. `None` says that there is nothing more for now.
    pub(crate) fn poll(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Change> {
        loop {
            let Some(current) = &mut self.current else {
                return self.look_for_file();
            };
            if current.was_replaced() {
                current.restart();
                let next = Some(current.beginning());
                return Some(Change::Event {
                    event: FileEvent::Truncated,
                    next,
                });
            }
            match current.read(buffer) {
                Ok(0) => {}
                Ok(n) => {
                    current.nameless_since = None;
                    self.complaint = None;
                    return Some(Change::Bytes(n));
                }
                Err(error) => self.complain(&format!("cannot be read: {error}")),
            }
            if let Some(next) = self.next.take() {
                return Some(self.switch_to(next));
            }
            self.next = self.judge_name(now);
            // Between its end and this judgement more may have been written to the old file: round
            // once more before it is left.
            self.next.as_ref()?;
        }
    }

    /// Whether the name still leads to the file being read; if not, what to read next, and when.
    fn judge_name(&mut self, now: Instant) -> Option<Next> {
        let current = self.current.as_mut()?;
        let leads_here = fs::metadata(self.name.path())
            .is_ok_and(|found| Identity::of(&found) == current.trace.identity);
        if leads_here {
            current.nameless_since = None;
            return None;
        }
        let since = *current.nameless_since.get_or_insert(now);
        let is_settled = now.saturating_duration_since(since) >= self.settle;
        match self.name.open() {
            // The name came back between the two looks.
            Ok(opened) if opened.identity == current.trace.identity => None,
            Ok(opened) => (opened.len > 0 || is_settled).then_some(Next::File(opened)),
            Err(error) => {
                self.complain_unless_missing(&error);
                is_settled.then_some(Next::Nothing)
            }
        }
    }

    fn switch_to(&mut self, next: Next) -> Change {
        self.complaint = None;
        match next {
            Next::File(opened) => {
                let current = self.current.insert(Current::at(opened, 0));
                let next = Some(current.beginning());
                Change::Event {
                    event: FileEvent::Rotated,
                    next,
                }
            }
            Next::Nothing => {
                self.left = self.current.take().map(|current| current.trace);
                Change::Event {
                    event: FileEvent::Gone,
                    next: None,
                }
            }
        }
    }

    fn look_for_file(&mut self) -> Option<Change> {
        match self.name.open() {
            Ok(opened) => {
                self.complaint = None;
                let start = self.left.take().map_or(0, |left| left.resumes_in(&opened));
                let current = self.current.insert(Current::at(opened, start));
                Some(Change::Event {
                    event: FileEvent::Back,
                    next: Some(current.beginning()),
                })
            }
            Err(error) => {
                self.complain_unless_missing(&error);
                None
            }
        }
    }

    fn complain_unless_missing(&mut self, error: &FollowError) {
        if !error.is_missing() {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            self.complain(&format!("{error}: {}", cause.unwrap_or_default()));
        }
    }

    fn complain(&mut self, what: &str) {
        if self.complaint.as_deref() != Some(what) {
            tracing::warn!(path = %self.name.path().display(), "followed file: {what}");
            self.complaint = Some(what.to_owned());
        }
    }
}

/// What follows the file that is being read to its end.
#[derive(Debug)]
enum Next {
    File(Opened),
    Nothing,
}

/// The file being read.
#[derive(Debug)]
struct Current {
    file: Arc<File>,
    trace: Trace,
    /// Whether time passed since the last read: then the file can have become another unnoticed.
    has_paused: bool,
    /// Length and time of change at the last look, so that an idle file is not looked into.
    looked_at: Option<(u64, Option<SystemTime>)>,
    /// Since when the name leads elsewhere and nothing was written to this file.
    nameless_since: Option<Instant>,
}

impl Current {
    fn at(opened: Opened, position: u64) -> Self {
        let Opened {
            file,
            identity,
            created,
            ..
        } = opened;
        let trace = Trace {
            identity,
            created,
            position,
            head: head(&file, position),
        };
        Self {
            file,
            trace,
            has_paused: true,
            looked_at: None,
            nameless_since: None,
        }
    }

    fn at_last_line(path: &Path, opened: Opened) -> Result<Self, FollowError> {
        let mut scan = BackwardScan::new(opened.len, 0);
        let found =
            scan.step(&opened.file, MAX_START_SCAN)
                .map_err(|source| FollowError::Unreadable {
                    path: path.to_owned(),
                    source,
                })?;
        let position = found.unwrap_or_else(|| scan.offset());
        Ok(Self::at(opened, position))
    }

    fn beginning(&self) -> Beginning {
        Beginning {
            file: self.file.clone(),
            id: FileId::of((self.trace.identity, self.trace.created)),
            start: self.trace.position,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = read_at(&self.file, buffer, self.trace.position)?;
        self.trace.advance(&buffer[..n]);
        self.has_paused = n == 0;
        Ok(n)
    }

    /// Whether the file no longer holds what was read from it.
    fn was_replaced(&mut self) -> bool {
        if !self.has_paused {
            return false;
        }
        let Ok(metadata) = self.file.metadata() else {
            return false;
        };
        let looks = Some((metadata.len(), metadata.modified().ok()));
        if self.looked_at == looks {
            return false;
        }
        self.looked_at = looks;
        !self.trace.is_beginning_of(&self.file, metadata.len())
    }

    fn restart(&mut self) {
        self.trace.position = 0;
        self.trace.head.clear();
        self.has_paused = false;
        self.looked_at = None;
    }
}

/// What is remembered of a file to know it again.
#[derive(Debug)]
struct Trace {
    identity: Identity,
    created: Option<SystemTime>,
    /// Offset of the byte to be read next.
    position: u64,
    /// The first bytes of what was read, at most [`HEAD`].
    head: Vec<u8>,
}

impl Trace {
    fn advance(&mut self, bytes: &[u8]) {
        if self.head.len() as u64 == self.position {
            let room = HEAD - self.head.len();
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.position += bytes.len() as u64;
    }

    /// Whether `file`, of `len` bytes, still begins with what was read, as far as one can tell.
    fn is_beginning_of(&self, file: &File, len: u64) -> bool {
        let mut found = vec![0; self.head.len()];
        len >= self.position
            && read_at(file, &mut found, 0).is_ok_and(|n| found[..n] == self.head[..])
    }

    /// Where to read on in a file that came after this one: behind what was read if it is the same
    /// file, else at its beginning.
    ///
    /// Where the file system keeps no birth time a new file with a reused inode number could pass
    /// for the old one; lines shown twice are better than lines never shown.
    fn resumes_in(&self, opened: &Opened) -> u64 {
        let is_same = opened.identity == self.identity
            && self.created.is_some()
            && opened.created == self.created
            && self.is_beginning_of(&opened.file, opened.len);
        if is_same { self.position } else { 0 }
    }
}

/// The first bytes of `file`, of those before `position`.
fn head(file: &File, position: u64) -> Vec<u8> {
    let mut head = vec![0; usize::try_from(position).unwrap_or(HEAD).min(HEAD)];
    // What cannot be read here is found out by the first real read; an empty head matches anything.
    let n = read_at(file, &mut head, 0).unwrap_or_default();
    head.truncate(n);
    head
}

/// Bytes at the beginning of a file by which a rewritten one is known. Log lines begin with a time,
/// so a few of them are enough.
const HEAD: usize = 1024;

/// Bytes searched at the start for the beginning of an unfinished last line. A line that long is
/// shown cut anyway, so it may as well be entered in its middle.
const MAX_START_SCAN: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::{io::Write, path::PathBuf};

    use super::*;

    const SETTLE: Duration = Duration::from_secs(1);

    /// A followed name in a folder of its own, with a clock that is moved by hand.
    struct Scene {
        folder: tempfile::TempDir,
        follower: Follower,
        now: Instant,
    }

    impl Scene {
        /// Follows `log`, which holds `content` or is missing.
        fn following(content: Option<&str>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let (follower, beginning) = Follower::start(Name::new(path, false), SETTLE).unwrap();
            assert_eq!(beginning.is_some(), content.is_some());
            Self {
                folder,
                follower,
                now: Instant::now(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.path(name), content).unwrap();
        }

        fn append(&self, name: &str, content: &str) {
            let path = self.path(name);
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(content.as_bytes()).unwrap();
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.path(from), self.path(to)).unwrap();
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }

        /// All that is new: bytes as they are, events in brackets with where reading goes on.
        fn news(&mut self) -> String {
            let (mut news, mut buffer) = (String::new(), [0; 4]);
            while let Some(change) = self.follower.poll(self.now, &mut buffer) {
                match change {
                    Change::Bytes(n) => news.push_str(str::from_utf8(&buffer[..n]).unwrap()),
                    Change::Event { event, next } => {
                        let start = next.map(|next| next.start);
                        news = format!("{news}[{event:?} {start:?}]");
                    }
                }
            }
            news
        }
    }

    #[test]
    fn what_is_appended_is_read_once() {
        let mut scene = Scene::following(Some("old\n"));
        assert_eq!(scene.news(), "");
        scene.append("log", "one\ntwo");
        assert_eq!(scene.news(), "one\ntwo");
        scene.append("log", "!\n");
        assert_eq!(scene.news(), "!\n");
        assert_eq!(scene.news(), "");
    }

    #[test]
    fn following_starts_with_an_unfinished_line() {
        assert_eq!(Scene::following(Some("old\npart")).news(), "part");
        assert_eq!(Scene::following(Some("part")).news(), "part");
    }

    #[test]
    fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
        let mut scene = Scene::following(Some(""));
        scene.append("log", "1\n");
        assert_eq!(scene.news(), "1\n");
        scene.append("log", "2\n");
        scene.rename("log", "log.1");
        scene.append("log.1", "3\n");
        scene.write("log", "4\n");
        assert_eq!(scene.news(), "2\n3\n[Rotated Some(0)]4\n");
    }

    #[test]
    fn while_the_new_file_is_empty_the_old_one_is_read_on() {
        let mut scene = Scene::following(Some("1\n"));
        scene.rename("log", "log.1");
        scene.write("log", "");
        assert_eq!(scene.news(), "");
        scene.append("log.1", "2\n");
        scene.pass(SETTLE / 2);
        assert_eq!(scene.news(), "2\n");
        scene.append("log", "3\n");
        assert_eq!(scene.news(), "[Rotated Some(0)]3\n");
    }

    #[test]
    fn an_empty_new_file_is_taken_when_the_old_one_has_settled() {
        let mut scene = Scene::following(Some("1\n"));
        scene.rename("log", "log.1");
        scene.write("log", "");
        assert_eq!(scene.news(), "");
        scene.pass(SETTLE);
        assert_eq!(scene.news(), "[Rotated Some(0)]");
    }

    #[test]
    fn a_name_that_is_missing_for_a_moment_is_a_rotation() {
        let mut scene = Scene::following(Some("1\n"));
        scene.rename("log", "log.1");
        assert_eq!(scene.news(), "");
        scene.append("log.1", "2\n");
        scene.pass(SETTLE / 2);
        assert_eq!(scene.news(), "2\n");
        scene.write("log", "3\n");
        assert_eq!(scene.news(), "[Rotated Some(0)]3\n");
    }

    #[test]
    fn a_deleted_file_is_gone_once_settled_and_back_from_its_beginning() {
        let mut scene = Scene::following(Some("1\n"));
        fs::remove_file(scene.path("log")).unwrap();
        assert_eq!(scene.news(), "");
        scene.pass(SETTLE);
        assert_eq!(scene.news(), "[Gone None]");
        assert_eq!(scene.news(), "");
        scene.write("log", "1\n");
        assert_eq!(scene.news(), "[Back Some(0)]1\n");
    }

    #[test]
    fn the_same_file_under_its_old_name_again_is_not_repeated() {
        let mut scene = Scene::following(Some("1\n"));
        scene.rename("log", "away");
        assert_eq!(scene.news(), "");
        scene.pass(SETTLE);
        assert_eq!(scene.news(), "[Gone None]");
        scene.append("away", "2\n");
        scene.rename("away", "log");
        assert_eq!(scene.news(), "[Back Some(2)]2\n");
    }

    #[test]
    fn a_name_that_comes_back_at_once_is_no_event() {
        let mut scene = Scene::following(Some("1\n"));
        scene.rename("log", "away");
        assert_eq!(scene.news(), "");
        scene.rename("away", "log");
        scene.append("log", "2\n");
        scene.pass(SETTLE);
        assert_eq!(scene.news(), "2\n");
    }

    #[test]
    fn a_missing_file_is_waited_for_and_read_from_its_beginning() {
        let mut scene = Scene::following(None);
        assert_eq!(scene.news(), "");
        scene.write("log", "1\n2");
        assert_eq!(scene.news(), "[Back Some(0)]1\n2");
    }

    #[test]
    fn a_shorter_file_was_truncated() {
        let mut scene = Scene::following(Some("first\nsecond\n"));
        assert_eq!(scene.news(), "");
        scene.write("log", "");
        assert_eq!(scene.news(), "[Truncated Some(0)]");
        scene.append("log", "1\n");
        assert_eq!(scene.news(), "1\n");
    }

    #[test]
    fn a_file_written_anew_in_place_is_known_by_its_first_bytes() {
        let mut scene = Scene::following(Some("first\n"));
        for content in ["second is longer\n", "thirds are longer\n", "thirst\n"] {
            assert_eq!(scene.news(), "");
            scene.write("log", content);
            assert_eq!(scene.news(), format!("[Truncated Some(0)]{content}"));
        }
    }

    #[test]
    fn what_takes_the_name_and_is_no_regular_file_counts_as_gone() {
        let mut scene = Scene::following(Some("1\n"));
        fs::remove_file(scene.path("log")).unwrap();
        fs::create_dir(scene.path("log")).unwrap();
        assert_eq!(scene.news(), "");
        scene.pass(SETTLE);
        assert_eq!(scene.news(), "[Gone None]");
        fs::remove_dir(scene.path("log")).unwrap();
        scene.write("log", "2\n");
        assert_eq!(scene.news(), "[Back Some(0)]2\n");
    }

    #[test]
    fn a_symbolic_link_is_followed_to_where_it_leads_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1\n").unwrap();
        fs::write(path("b"), "2\n").unwrap();
        std::os::unix::fs::symlink("a", path("log")).unwrap();
        std::os::unix::fs::symlink("b", path("new")).unwrap();
        let (follower, _) = Follower::start(Name::new(path("log"), false), SETTLE).unwrap();
        let mut scene = Scene {
            folder,
            follower,
            now: Instant::now(),
        };
        assert_eq!(scene.news(), "");
        scene.rename("new", "log");
        assert_eq!(scene.news(), "[Rotated Some(0)]2\n");
    }

    /// What a link shows that is put in the place of `log`, which was one itself to `first`.
    fn shown_through_a_link(first: &str, then: &str, may_lead_anywhere: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, content) in [
            ("here", "1\n"),
            ("there/log", "2\n"),
            ("there/secret", "3\n"),
            ("away/secret", "4\n"),
        ] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), content).unwrap();
        }
        fs::create_dir(path("logs")).unwrap();
        std::os::unix::fs::symlink(first, path("logs/log")).unwrap();
        std::os::unix::fs::symlink(then, path("logs/new")).unwrap();
        let name = Name::new(path("logs/log"), may_lead_anywhere);
        let (follower, _) = Follower::start(name, SETTLE).unwrap();
        let mut scene = Scene {
            folder,
            follower,
            now: Instant::now(),
        };
        assert_eq!(scene.news(), "");
        scene.rename("logs/new", "logs/log");
        let at_once = scene.news();
        scene.pass(SETTLE);
        at_once + &scene.news()
    }

    #[test]
    fn a_symbolic_link_put_there_later_is_not_followed_out_of_the_folders_known_from_the_start() {
        assert_eq!(
            shown_through_a_link("../here", "../there/secret", true),
            "[Rotated Some(0)]3\n"
        );
        for (first, then) in [
            ("../there/log", "../away/secret"),
            ("../there/log", "/etc/passwd"),
        ] {
            assert_eq!(
                shown_through_a_link(first, then, false),
                "[Gone None]",
                "{then}"
            );
        }
        assert_eq!(
            shown_through_a_link("../there/log", "../there/secret", false),
            "[Rotated Some(0)]3\n"
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_yet_may_lead_there_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("logs")).unwrap();
        fs::create_dir(path("there")).unwrap();
        std::os::unix::fs::symlink("../there/log", path("logs/log")).unwrap();
        let name = Name::new(path("logs/log"), false);
        let (follower, _) = Follower::start(name, SETTLE).unwrap();
        let mut scene = Scene {
            folder,
            follower,
            now: Instant::now(),
        };
        assert_eq!(scene.news(), "");
        scene.write("there/log", "1\n");
        assert_eq!(scene.news(), "[Back Some(0)]1\n");
    }
}
