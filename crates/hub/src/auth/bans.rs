//! Who is kept out, of the server or of a room.

use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::is_admin_id;
use crate::{core::payer, hub::now};

/// A moderator fills a part of what there may be of all rooms, however many are moderated. A tenth: one who bans ids that nobody has
/// leaves the others theirs, and 1,000 by default are more than one person looks through.
const MODERATOR_PART: usize = 10;

/// Whom a ban is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The id of a user.
    User(Arc<str>),
    Address(Network),
}

/// What is taken for one address: one of IPv4, or a /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Network(IpAddr);

/// Somebody, as far as bans can tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    /// The user's id, if there is one.
    pub(crate) user: Option<&'a Arc<str>>,
    pub(crate) address: IpAddr,
}

/// One ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) id: u64,
    pub(crate) whom: Subject,
    /// The room it is of; none for all of the server.
    pub(crate) room: Option<Arc<str>>,
    /// The user who made it first, if that is known.
    pub(crate) by: Option<Arc<str>>,
    /// When it was made, in milliseconds since 1970.
    pub(crate) since: u64,
    /// When it ends, if it does.
    pub(crate) until: Option<u64>,
}

/// A ban in JSON, as it is stored and shown.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BanForm {
    id: u64,
    user: Option<String>,
    address: Option<Network>,
    room: Option<String>,
    by: Option<String>,
    since: u64,
    until: Option<u64>,
}

/// The file of bans.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    /// The highest id that was given: none means another ban later.
    last: u64,
    bans: Vec<BanForm>,
}

/// Why a ban was not made or lifted. Nothing has changed then, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BanError {
    #[error("there are as many bans as there may be")]
    Full,
    #[error("you have made as many bans as one who moderates may")]
    ShareFull,
    #[error("bans can't be stored right now")]
    Io(#[from] io::Error),
    /// It holds as it did before it was to be lifted, or was made; but perhaps not after a restart.
    #[error("it is unknown whether this was stored")]
    Unsure(io::Error),
}

/// All bans.
#[derive(Debug)]
pub(crate) struct Bans {
    /// Where they outlast the process.
    file: Option<PathBuf>,
    /// As many as there may be of the server, and of all rooms together: who moderates a room leaves the operator the others.
    max: usize,
    /// Has what is in a folder outlast a loss of power.
    sync: fn(&Path) -> io::Result<()>,
    table: RwLock<Table>,
    /// Held by who changes them.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

type Key = (Subject, Option<Arc<str>>);

#[derive(Debug, Clone, Default)]
struct Table {
    last: u64,
    bans: HashMap<Key, Ban>,
}

impl Subject {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::Address(Network(payer(address)))
    }

    /// Whether this is somebody. Nobody is the administrator, who could else not lift a ban.
    pub(crate) fn is(&self, who: Who<'_>) -> bool {
        match self {
            _ if who.is_admin() => false,
            Self::User(id) => who.user == Some(id),
            Self::Address(network) => network.0 == payer(who.address),
        }
    }
}

impl Who<'_> {
    fn is_admin(self) -> bool {
        self.user.is_some_and(|user| is_admin_id(user))
    }

    fn subjects(self) -> impl Iterator<Item = Subject> {
        let user = self.user.map(|id| Subject::User(Arc::clone(id)));
        user.into_iter().chain([Subject::of(self.address)])
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => f.write_str(id),
            Self::Address(network) => network.fmt(f),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = || text.parse::<IpAddr>().ok();
        let network = || match text.parse().ok()? {
            IpNet::V6(network) if network.prefix_len() == 64 => Some(network.addr().into()),
            _ => None,
        };
        let address = one().or_else(network);
        let address = address.ok_or("address is one, or a /64 of IPv6")?;
        Ok(Self(payer(address)))
    }
}

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl From<&Ban> for BanForm {
    fn from(ban: &Ban) -> Self {
        let (user, address) = match &ban.whom {
            Subject::User(id) => (Some(id.as_ref().into()), None),
            Subject::Address(network) => (None, Some(*network)),
        };
        Self {
            id: ban.id,
            user,
            address,
            room: ban.room.as_deref().map(str::to_owned),
            by: ban.by.as_deref().map(str::to_owned),
            since: ban.since,
            until: ban.until,
        }
    }
}

impl TryFrom<BanForm> for Ban {
    type Error = io::Error;

    fn try_from(form: BanForm) -> io::Result<Self> {
        let whom = match (form.user, form.address) {
            (Some(id), None) => Subject::User(id.into()),
            (None, Some(network)) => Subject::Address(network),
            _ => {
                let why = format!("ban {} is of neither a user nor an address", form.id);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        };
        Ok(Self {
            id: form.id,
            whom,
            room: form.room.map(Arc::from),
            by: form.by.map(Arc::from),
            since: form.since,
            until: form.until,
        })
    }
}

impl Ban {
    fn key(&self) -> Key {
        (self.whom.clone(), self.room.clone())
    }

    /// Whether it has not ended.
    fn holds(&self, now: u64) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Bans {
    /// Those of a file, which need not be there yet, or none. Blocks.
    ///
    /// # Errors
    ///
    /// There is a file, and it can't be understood.
    pub(crate) fn open(file: Option<PathBuf>, max: usize) -> io::Result<Self> {
        let table = match file.as_deref().map(fs::read) {
            Some(Ok(json)) => Table::read(&json)?,
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Some(Err(_)) | None => Table::default(),
        };
        Ok(Self {
            file,
            max,
            sync: sync_folder,
            table: RwLock::new(table),
            turn: Arc::default(),
        })
    }

    /// Keeps somebody out of a room or the server, until then or for good; in place of what was said of that before. Blocks until it is
    /// in the file, where it is to be [settled](Self::settle); one that is there as it is stays so. For who has the `turn`.
    ///
    /// # Errors
    ///
    /// As said there.
    pub(crate) fn add(
        &self,
        whom: Subject,
        room: Option<Arc<str>>,
        until: Option<u64>,
        by: Option<Arc<str>>,
    ) -> Result<Ban, BanError> {
        let mut table = self.table().present();
        let key = (whom, room);
        let known = table.bans.get(&key);
        if let Some(same) = known.filter(|ban| ban.until == until) {
            return Ok(same.clone());
        }
        let known = known.map(|ban| (ban.id, ban.by.clone()));
        let like_it = table
            .bans
            .keys()
            .filter(|(_, room)| room.is_some() == key.1.is_some());
        if known.is_none() && like_it.count() >= self.max {
            return Err(BanError::Full);
        }
        let (id, by) = known.unwrap_or((table.last + 1, by));
        table.last = table.last.max(id);
        let (whom, room) = key.clone();
        let ban = Ban {
            id,
            whom,
            room,
            by,
            since: now(),
            until,
        };
        table.bans.insert(key, ban.clone());
        self.store(&table)?;
        self.put(table);
        Ok(ban)
    }

    /// Refuses a ban of a room that would be one more than a moderator may make. For who has the `turn`.
    ///
    /// # Errors
    ///
    /// As said there.
    pub(crate) fn check_share(
        &self,
        whom: &Subject,
        room: &Arc<str>,
        by: &Arc<str>,
    ) -> Result<(), BanError> {
        let table = self.table();
        let key = (whom.clone(), Some(Arc::clone(room)));
        let is_known = table.bans.get(&key).is_some_and(|ban| ban.holds(now()));
        let is_theirs = |ban: &&Ban| ban.room.is_some() && ban.by.as_ref() == Some(by);
        let theirs = table.all().filter(is_theirs);
        if is_known || theirs.count() < (self.max / MODERATOR_PART).max(1) {
            Ok(())
        } else {
            Err(BanError::ShareFull)
        }
    }

    /// Lifts a ban. Blocks until that is [settled](Self::settle): as long as it holds, it can be lifted. For who has the `turn`.
    ///
    /// # Errors
    ///
    /// As said there: it still holds.
    pub(crate) fn remove(&self, id: u64) -> Result<(), BanError> {
        let mut table = self.table().present();
        let before = table.bans.len();
        table.bans.retain(|_, ban| ban.id != id);
        if table.bans.len() == before {
            return Ok(());
        }
        self.store(&table)?;
        self.settle()?;
        self.put(table);
        Ok(())
    }

    /// Sees to it that the file stays as it is also if the power fails. Blocks. For who has the `turn`.
    ///
    /// # Errors
    ///
    /// It is [not known](BanError::Unsure) whether it would. Another change settles this one, too.
    pub(crate) fn settle(&self) -> Result<(), BanError> {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.map_or(Ok(()), self.sync).map_err(BanError::Unsure)
    }

    /// One that has not ended.
    pub(crate) fn get(&self, id: u64) -> Option<Ban> {
        self.table().all().find(|ban| ban.id == id).cloned()
    }

    /// The first that are wanted of those whose ids follow `after`.
    pub(crate) fn list(
        &self,
        after: u64,
        max: usize,
        is_wanted: impl Fn(&Ban) -> bool,
    ) -> Vec<Ban> {
        let table = self.table();
        let wanted = table.all().filter(|ban| ban.id > after && is_wanted(ban));
        let mut found: Vec<_> = wanted.cloned().collect();
        found.sort_unstable_by_key(|ban| ban.id);
        found.truncate(max);
        found
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table().all().count()
    }

    /// Whether somebody is kept out of a room, or, without one, of the server.
    pub(crate) fn hold(&self, who: Who<'_>, room: Option<&str>) -> bool {
        let table = self.table();
        if table.bans.is_empty() || who.is_admin() {
            return false;
        }
        let room: Option<Arc<str>> = room.map(Arc::from);
        let now = now();
        who.subjects().any(|whom| {
            let ban = table.bans.get(&(whom, room.clone()));
            ban.is_some_and(|ban| ban.holds(now))
        })
    }

    /// The rooms that somebody is kept out of.
    pub(crate) fn rooms(&self, who: Who<'_>) -> HashSet<Arc<str>> {
        let table = self.table();
        let of_them = table.all().filter(|ban| ban.whom.is(who));
        of_them.filter_map(|ban| ban.room.clone()).collect()
    }

    /// Stores what they are to be.
    fn store(&self, table: &Table) -> io::Result<()> {
        match &self.file {
            Some(file) => replace(file, &table.to_json()),
            None => Ok(()),
        }
    }

    /// Has them be so.
    fn put(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn read(json: &[u8]) -> io::Result<Self> {
        let File { last, bans } = serde_json::from_slice(json)?;
        let bans = bans.into_iter().map(|form| {
            let ban = Ban::try_from(form)?;
            Ok((ban.key(), ban))
        });
        let bans: HashMap<_, _> = bans.collect::<io::Result<_>>()?;
        let last = bans.values().map(|ban| ban.id).fold(last, u64::max);
        Ok(Self { last, bans })
    }

    fn to_json(&self) -> String {
        crate::wire::to_json(&File {
            last: self.last,
            bans: self.bans.values().map(BanForm::from).collect(),
        })
    }

    /// Those that have not ended.
    fn all(&self) -> impl Iterator<Item = &Ban> {
        let now = now();
        self.bans.values().filter(move |ban| ban.holds(now))
    }

    /// The same, without those that have ended.
    fn present(&self) -> Self {
        let bans = self.all().map(|ban| (ban.key(), ban.clone()));
        Self {
            last: self.last,
            bans: bans.collect(),
        }
    }
}

/// Puts other content into a file that nobody else may read, all or nothing, also when the power fails: which of the two is known
/// once the folder is on disk as well. An error is the old content.
fn replace(file: &Path, content: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut writing = options.open(&new)?;
    writing.write_all(content.as_bytes())?;
    writing.sync_all()?;
    fs::rename(&new, file)
}

/// Where that can be said of a folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) && !folder.as_os_str().is_empty() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn user(id: &str) -> Subject {
        Subject::User(id.into())
    }

    fn address(text: &str) -> Subject {
        Subject::Address(text.parse().unwrap())
    }

    /// Whether a user at an address is kept out.
    fn hold(bans: &Bans, id: &str, address: &str, room: Option<&str>) -> bool {
        let who = Who {
            user: Some(&id.into()),
            address: address.parse().unwrap(),
        };
        bans.hold(who, room)
    }

    #[test]
    fn a_ban_is_of_a_user_or_of_what_counts_as_one_address_and_of_its_room() {
        let bans = Bans::open(None, 10).unwrap();
        assert!(!hold(&bans, "u", "192.0.2.1", None));
        bans.add(user("u"), None, None, None).unwrap();
        bans.add(address("192.0.2.1"), None, None, None).unwrap();
        bans.add(address("2001:db8::1"), None, None, None).unwrap();
        bans.add(user("v"), Some("a".into()), None, None).unwrap();
        for (id, address, room, expected) in [
            ("u", "203.0.113.1", None, true),
            ("u", "203.0.113.1", Some("a"), false),
            ("x", "192.0.2.1", None, true),
            ("x", "::ffff:192.0.2.1", None, true),
            ("x", "192.0.2.2", None, false),
            ("x", "2001:db8::ffff", None, true),
            ("x", "2001:db8:0:1::1", None, false),
            ("v", "203.0.113.1", None, false),
            ("v", "203.0.113.1", Some("a"), true),
            ("v", "203.0.113.1", Some("b"), false),
            ("fdx:admin", "192.0.2.1", None, false),
        ] {
            let held = hold(&bans, id, address, room);
            assert_eq!(held, expected, "{id} {address} {room:?}");
        }
    }

    #[test]
    fn addresses_are_written_as_what_they_stand_for() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::/64")),
            ("2001:db8::/64", Some("2001:db8::/64")),
            ("2001:db8::/48", None),
            ("192.0.2.0/24", None),
            ("localhost", None),
            ("", None),
        ] {
            let network = text.parse::<Network>().ok();
            let network = network.map(|network| network.to_string());
            assert_eq!(network.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn bans_outlast_the_process_until_they_end_or_are_lifted() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("bans.json");
        let open = || Bans::open(Some(file.clone()), 10).unwrap();
        let bans = open();
        let first = bans.add(user("ever"), None, None, None).unwrap();
        let soon = now() + 60_000;
        bans.add(user("soon"), None, Some(soon), None).unwrap();
        bans.add(user("over"), None, Some(now()), None).unwrap();
        let network = bans.add(address("2001:db8::1"), Some("a".into()), None, None);
        assert_eq!((first.id, network.unwrap().id), (1, 4));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let bans = open();
        let all = bans.list(0, 10, |_| true);
        let ids: Vec<_> = all.iter().map(|ban| ban.id).collect();
        assert_eq!((ids, bans.len()), (vec![1, 2, 4], 3));
        assert_eq!((&all[0], all[1].until), (&first, Some(soon)));
        assert!(hold(&bans, "ever", "192.0.2.1", None));
        assert!(!hold(&bans, "over", "192.0.2.1", None));
        assert!(hold(&bans, "x", "2001:db8::2", Some("a")));
        // Said anew, it is the same one; lifted, its number is nobody else's.
        assert_eq!(bans.add(user("soon"), None, None, None).unwrap().id, 2);
        bans.remove(4).unwrap();
        assert!(bans.get(4).is_none() && bans.get(1) == Some(first));
        let bans = open();
        assert!(!hold(&bans, "x", "2001:db8::2", Some("a")));
        assert_eq!(bans.add(user("new"), None, None, None).unwrap().id, 5);
    }

    #[test]
    fn there_are_so_many_and_those_of_rooms_leave_the_others_their_places() {
        let bans = Bans::open(None, 2).unwrap();
        let room = || Some("a".into());
        bans.add(user("a"), room(), None, None).unwrap();
        bans.add(user("b"), room(), Some(now()), None).unwrap();
        // One that has ended makes place.
        bans.add(user("c"), room(), None, None).unwrap();
        let full = bans.add(user("d"), room(), None, None);
        assert!(matches!(full, Err(BanError::Full)));
        bans.add(user("c"), room(), None, None).unwrap();
        for id in ["a", "b"] {
            bans.add(user(id), None, None, None).unwrap();
        }
        let full = bans.add(user("c"), None, None, None);
        assert!(matches!(full, Err(BanError::Full)));
    }

    #[test]
    fn who_moderates_fills_a_part_of_what_there_is_for_rooms_in_however_many() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("bans.json");
        let open = || Bans::open(Some(file.clone()), 20).unwrap();
        let bans = open();
        let ban = |bans: &Bans, by: &str, room: &str, id: &str, until| {
            let (room, by) = (room.into(), by.into());
            bans.check_share(&user(id), &room, &by)?;
            bans.add(user(id), Some(room), until, Some(by))
        };
        ban(&bans, "mo", "a", "1", None).unwrap();
        ban(&bans, "mo", "b", "1", Some(now())).unwrap();
        // One that has ended makes place.
        let made = ban(&bans, "mo", "c", "1", None).unwrap();
        for bans in [&bans, &open()] {
            let full = ban(bans, "mo", "d", "1", None);
            assert!(matches!(full, Err(BanError::ShareFull)));
        }
        // Said anew it is no new one, and still of who made it.
        let known = ban(&bans, "al", "c", "1", Some(u64::MAX)).unwrap();
        assert_eq!((known.id, known.by), (made.id, made.by));
        for id in ["1", "2"] {
            ban(&bans, "al", "d", id, None).unwrap();
        }
    }

    #[test]
    fn where_nothing_changes_nothing_is_written() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("bans.json");
        let bans = Bans::open(Some(file.clone()), 10).unwrap();
        let ban = bans.add(user("u"), None, None, None).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(bans.add(user("u"), None, None, None).unwrap(), ban);
        bans.remove(ban.id + 1).unwrap();
        assert!(!file.exists());
        bans.add(user("u"), None, Some(u64::MAX), None).unwrap();
        assert!(file.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_in_the_file_holds_also_if_it_is_not_known_to_stay_there() {
        let folder = TempDir::new().unwrap();
        let bans = Bans::open(Some(folder.path().join("bans.json")), 10).unwrap();
        bans.add(user("u"), None, None, None).unwrap();
        bans.settle().unwrap();
        folder.close().unwrap();
        assert!(matches!(bans.settle(), Err(BanError::Unsure(_))));
        assert!(hold(&bans, "u", "192.0.2.1", None));
    }

    #[test]
    fn a_ban_whose_end_is_not_known_to_be_stored_holds_until_it_is() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("bans.json");
        let mut bans = Bans::open(Some(file.clone()), 10).unwrap();
        let ban = bans.add(user("u"), None, None, None).unwrap();
        bans.sync = |_| Err(io::ErrorKind::Other.into());
        // Not for want of asking again.
        for _ in 0..2 {
            assert!(matches!(bans.remove(ban.id), Err(BanError::Unsure(_))));
            assert_eq!(bans.get(ban.id), Some(ban.clone()));
            assert!(hold(&bans, "u", "192.0.2.1", None));
        }
        // What is stored meanwhile says nothing else.
        bans.add(user("v"), None, None, None).unwrap();
        let stored = Bans::open(Some(file.clone()), 10).unwrap();
        assert_eq!(stored.get(ban.id), Some(ban.clone()));
        bans.sync = sync_folder;
        bans.remove(ban.id).unwrap();
        assert!(bans.get(ban.id).is_none());
        let stored = Bans::open(Some(file), 10).unwrap();
        assert!(stored.get(ban.id).is_none() && stored.len() == 1);
    }

    #[test]
    fn what_cant_be_stored_changes_nothing_and_what_cant_be_read_lets_nobody_in() {
        let folder = TempDir::new().unwrap();
        let bans = Bans::open(Some(folder.path().join("gone").join("bans.json")), 10).unwrap();
        let failed = bans.add(user("u"), None, None, None);
        assert!(matches!(failed, Err(BanError::Io(_))));
        assert!(!hold(&bans, "u", "192.0.2.1", None));
        let file = folder.path().join("bans.json");
        for bad in ["", "{", r#"{"last":1,"bans":[{"id":1,"since":0}]}"#] {
            fs::write(&file, bad).unwrap();
            assert!(Bans::open(Some(file.clone()), 10).is_err(), "{bad}");
        }
    }
}
