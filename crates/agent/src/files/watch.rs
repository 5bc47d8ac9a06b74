//! Learning of changes from the kernel (inotify), so that what does not change costs nothing.
//!
//! Folders are watched, not files: one watch tells of all that is in a folder. Where that can not be done (too many
//! folders, a disk on the network whose changes come from elsewhere) everything is looked at in every interval, as if there
//! were no kernel to ask; and what the kernel forgets is found by a look at everything from time to time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::statfs;
use rustix::io::Errno;
use tokio::net::unix::pipe;

/// What is known to have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Files that were written to, by their names.
    pub(super) written: HashSet<PathBuf>,
    /// Names that came or went.
    pub(super) names: HashSet<PathBuf>,
    /// Names of which something else was changed, such as who may read them.
    pub(super) touched: HashSet<PathBuf>,
    /// More than is listed.
    pub(super) anything: bool,
}

#[derive(Debug)]
pub(super) struct Watch {
    state: State,
}

#[derive(Debug)]
enum State {
    Told(Told),
    /// Nothing is told, with the reason.
    Polling(String),
}

#[derive(Debug)]
struct Told {
    /// Not a pipe, but read as one.
    queue: pipe::Receiver,
    /// The same folder may have several names.
    names: HashMap<i32, Vec<PathBuf>>,
    watches: HashMap<PathBuf, i32>,
}

/// Nothing is told of a folder.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("could not watch `{0}`")]
    Watch(PathBuf, #[source] io::Error),
    #[error("`{0}` is on a disk whose changes are not told")]
    Remote(PathBuf),
    #[error("inotify can not be used")]
    Queue(#[from] io::Error),
}

/// Kinds of file systems whose files may change elsewhere, as `statfs` has them.
const REMOTE: [u64; 14] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xfe53_4d42, // SMB 2
    0xff53_4d42, // CIFS
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x7375_7245, // Coda
    0x0000_564c, // NCP
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
];

/// Bytes of events that are taken from the kernel at a time.
const BUFFER: usize = 16 << 10;

impl Watch {
    /// Within a runtime.
    pub(super) fn new() -> Self {
        let state = match Told::new() {
            Ok(told) => State::Told(told),
            Err(error) => State::polling(&error),
        };
        Self { state }
    }

    /// Whether everything has to be looked at to know whether it has changed.
    pub(super) fn is_polling(&self) -> bool {
        matches!(self.state, State::Polling(_))
    }

    /// From now on these folders are watched. Whether something may have changed before that was not told.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> bool {
        let followed = match &mut self.state {
            State::Told(told) => told.follow(folders),
            State::Polling(_) => Told::new()
                .and_then(|mut told| told.follow(folders).map(|_| self.state = State::Told(told)))
                .map(|()| true),
        };
        followed.unwrap_or_else(|error| {
            let state = State::polling(&error);
            if let (State::Polling(before), State::Polling(now)) = (&self.state, &state)
                && before == now
            {
                return false;
            }
            self.state = state;
            true
        })
    }

    /// Nothing is told any more, because that is wanted.
    pub(super) fn poll(&mut self) {
        self.state = State::Polling(String::new());
    }

    /// Waits until something has changed; for ever, if nothing is told.
    pub(super) async fn changed(&self) {
        let State::Told(told) = &self.state else { return pending().await };
        if told.queue.readable().await.is_err() {
            pending().await
        }
    }

    /// What has changed since the last time.
    pub(super) fn take(&mut self) -> Changes {
        let mut changes = Changes::default();
        if let State::Told(told) = &mut self.state
            && let Err(error) = told.take(&mut changes)
        {
            self.state = State::polling(&Untold::Queue(error));
            changes.anything = true;
        }
        changes
    }
}

impl State {
    fn polling(error: &Untold) -> Self {
        let reason = weir_foundation::failure::chain(error).to_string();
        tracing::warn!(reason, "all files are looked at in every interval");
        Self::Polling(reason)
    }
}

impl Told {
    fn new() -> Result<Self, Untold> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let queue = pipe::Receiver::from_owned_fd_unchecked(queue)?;
        Ok(Self { queue, names: HashMap::new(), watches: HashMap::new() })
    }

    fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> Result<bool, Untold> {
        let gone: Vec<PathBuf> =
            self.watches.keys().filter(|path| !folders.contains(*path)).cloned().collect();
        for path in gone {
            self.leave(&path);
        }
        let mut is_new = false;
        for path in folders {
            if !self.watches.contains_key(path) {
                is_new |= self.enter(path)?;
            }
        }
        Ok(is_new)
    }

    fn enter(&mut self, path: &Path) -> Result<bool, Untold> {
        const OF: WatchFlags = WatchFlags::MODIFY
            .union(WatchFlags::CREATE)
            .union(WatchFlags::DELETE)
            .union(WatchFlags::MOVE)
            .union(WatchFlags::ATTRIB)
            .union(WatchFlags::DELETE_SELF)
            .union(WatchFlags::MOVE_SELF)
            .union(WatchFlags::ONLYDIR);
        let watch = match inotify::add_watch(&self.queue, path, OF) {
            Ok(watch) => watch,
            // It was there a moment ago. The folder that it was in tells when it is there again.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            Err(error) => return Err(Untold::Watch(path.to_owned(), error.into())),
        };
        self.names.entry(watch).or_default().push(path.to_owned());
        self.watches.insert(path.to_owned(), watch);
        let kind = statfs(path).ok().and_then(|found| u64::try_from(found.f_type).ok());
        if kind.is_some_and(|kind| REMOTE.contains(&(kind & 0xffff_ffff))) {
            return Err(Untold::Remote(path.to_owned()));
        }
        Ok(true)
    }

    fn leave(&mut self, path: &Path) {
        let Some(watch) = self.watches.remove(path) else { return };
        let Some(names) = self.names.get_mut(&watch) else { return };
        names.retain(|name| name != path);
        if names.is_empty() {
            self.names.remove(&watch);
            // The folder may be gone, and the watch with it.
            inotify::remove_watch(&self.queue, watch).ok();
        }
    }

    fn take(&mut self, changes: &mut Changes) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let Self { queue, names, watches } = self;
        loop {
            let read = match queue.try_read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut left = buffer.get(..read).unwrap_or_default();
            while let Some((event, rest)) = Event::first(left) {
                changes.add(event, names, watches);
                if event.kind.contains(ReadFlags::MOVE_SELF) {
                    // It may be gone by now.
                    inotify::remove_watch(&*queue, event.watch).ok();
                }
                left = rest;
            }
        }
    }
}

/// What the kernel tells, as inotify(7) has it.
#[derive(Debug, Clone, Copy)]
struct Event<'a> {
    watch: i32,
    kind: ReadFlags,
    /// Of what is in the folder; empty for the folder itself.
    name: &'a [u8],
}

impl<'a> Event<'a> {
    /// The first, and what is behind it.
    fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (watch, bytes) = bytes.split_first_chunk()?;
        let (kind, bytes) = bytes.split_first_chunk()?;
        let (_cookie, bytes) = bytes.split_first_chunk::<4>()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        // It is filled up with zeros.
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let kind = ReadFlags::from_bits_retain(u32::from_ne_bytes(*kind));
        Some((Self { watch: i32::from_ne_bytes(*watch), kind, name }, rest))
    }
}

impl Changes {
    fn add(
        &mut self,
        event: Event<'_>,
        names: &mut HashMap<i32, Vec<PathBuf>>,
        watches: &mut HashMap<PathBuf, i32>,
    ) {
        let kind = event.kind;
        if kind.intersects(
            ReadFlags::QUEUE_OVERFLOW | ReadFlags::UNMOUNT | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF,
        ) {
            self.anything = true;
        }
        if kind.contains(ReadFlags::MOVE_SELF) || kind.contains(ReadFlags::IGNORED) {
            // What has its name now is another folder.
            for name in names.remove(&event.watch).into_iter().flatten() {
                watches.remove(&name);
                self.anything = true;
            }
        }
        let folders = names.get(&event.watch).filter(|_| !event.name.is_empty());
        for folder in folders.into_iter().flatten() {
            let path = folder.join(OsStr::from_bytes(event.name));
            if kind.contains(ReadFlags::ATTRIB) {
                self.touched.insert(path);
            } else if kind.contains(ReadFlags::ISDIR) {
                self.anything = true;
            } else if kind.contains(ReadFlags::MODIFY) {
                self.written.insert(path);
            } else {
                self.names.insert(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// A watch of a folder, with what it tells of.
    struct World {
        root: tempfile::TempDir,
        watch: Watch,
    }

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("there is space");
            let mut world = Self { root, watch: Watch::new() };
            assert!(world.follow(&[""]), "it is new");
            world
        }

        fn path(&self, name: &str) -> PathBuf {
            if name.is_empty() { self.root.path().to_owned() } else { self.root.path().join(name) }
        }

        fn follow(&mut self, folders: &[&str]) -> bool {
            let folders = folders.iter().map(|name| self.path(name)).collect();
            self.watch.follow(&folders)
        }

        /// What was written to, what came or went, and whether there is more.
        async fn check(&mut self, written: &[&str], names: &[&str], anything: bool) {
            if !written.is_empty() || !names.is_empty() || anything {
                self.watch.changed().await;
            }
            let changes = self.watch.take();
            let below = |paths: &HashSet<PathBuf>| -> BTreeSet<String> {
                let root = self.root.path();
                paths
                    .iter()
                    .map(|path| path.strip_prefix(root).expect("it is below").display().to_string())
                    .collect()
            };
            let expected = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(
                (below(&changes.written), below(&changes.names), changes.anything),
                (expected(written), expected(names), anything)
            );
        }
    }

    #[tokio::test]
    async fn files_that_change_are_told() {
        let mut world = World::new();
        world.check(&[], &[], false).await;
        fs::write(world.path("a"), "").expect("there is space");
        world.check(&[], &["a"], false).await;
        for _ in 0..3 {
            fs::write(world.path("a"), "x").expect("there is space");
            world.check(&["a"], &[], false).await;
        }
        fs::rename(world.path("a"), world.path("b")).expect("it is there");
        world.check(&[], &["a", "b"], false).await;
        fs::remove_file(world.path("b")).expect("it is there");
        world.check(&[], &["b"], false).await;
        world.check(&[], &[], false).await;
        fs::create_dir(world.path("c")).expect("there is space");
        world.check(&[], &[], true).await;
    }

    #[tokio::test]
    async fn folders_that_go_and_come_are_followed() {
        let mut world = World::new();
        fs::create_dir(world.path("c")).expect("there is space");
        world.check(&[], &[], true).await;
        assert!(world.follow(&["", "c"]));
        assert!(!world.follow(&["", "c"]), "nothing is new");
        fs::write(world.path("c/a"), "x").expect("there is space");
        world.check(&["c/a"], &["c/a"], false).await;
        // Another one has its name.
        fs::rename(world.path("c"), world.path("d")).expect("it is there");
        fs::create_dir(world.path("c")).expect("there is space");
        world.check(&[], &[], true).await;
        assert!(world.follow(&["", "c", "d"]));
        fs::write(world.path("c/a"), "y").expect("there is space");
        fs::write(world.path("d/a"), "y").expect("there is space");
        world.check(&["c/a", "d/a"], &["c/a"], false).await;
        fs::remove_dir_all(world.path("d")).expect("it is there");
        world.check(&[], &["d/a"], true).await;
        assert!(!world.follow(&["", "c", "d"]), "it is not there");
        fs::create_dir(world.path("d")).expect("there is space");
        world.check(&[], &[], true).await;
        assert!(world.follow(&["", "c", "d"]));
        // Nobody wants to know any more.
        assert!(!world.follow(&[""]));
        fs::write(world.path("d/a"), "y").expect("there is space");
        world.check(&[], &[], false).await;
    }

    #[tokio::test]
    async fn a_folder_may_have_several_names() {
        let mut world = World::new();
        fs::create_dir(world.path("c")).expect("there is space");
        std::os::unix::fs::symlink(world.path("c"), world.path("d")).expect("there is space");
        world.check(&[], &["d"], true).await;
        world.follow(&["c", "d"]);
        fs::write(world.path("c/a"), "").expect("there is space");
        world.check(&[], &["c/a", "d/a"], false).await;
        world.follow(&["d"]);
        fs::remove_file(world.path("c/a")).expect("it is there");
        world.check(&[], &["d/a"], false).await;
    }

    /// More than the kernel keeps.
    #[tokio::test]
    async fn what_is_forgotten_is_said_to_be() {
        let mut world = World::new();
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("the kernel says it");
        let limit: usize = limit.trim().parse().expect("a number");
        let mut files = ["a", "b"].map(|name| fs::File::create(world.path(name)).expect("there is space"));
        for number in 0..limit {
            files[number % 2].write_all(b"x").expect("there is space");
        }
        world.watch.changed().await;
        let changes = world.watch.take();
        assert!(changes.anything && changes.written.len() <= 2);
        files[0].write_all(b"y").expect("there is space");
        world.check(&["a"], &[], false).await;
    }

    #[tokio::test]
    async fn where_nothing_is_told_that_is_known() {
        let mut world = World::new();
        assert!(!world.watch.is_polling());
        let folders = BTreeSet::from([PathBuf::from("/proc/self/fd/none"), "\0".into()]);
        assert!(world.watch.follow(&folders), "it may have missed something");
        assert!(world.watch.is_polling());
        assert_eq!(world.watch.take(), Changes::default());
        assert!(world.follow(&[""]), "it is tried again");
        assert!(!world.watch.is_polling());
    }

    #[test]
    fn events_are_read_as_far_as_they_go() {
        let mut bytes = Vec::new();
        for number in [7_i32.to_ne_bytes(), 2_u32.to_ne_bytes(), [0; 4], 16_u32.to_ne_bytes()] {
            bytes.extend_from_slice(&number);
        }
        bytes.extend_from_slice(b"name\0\0\0\0\0\0\0\0\0\0\0\0");
        let (event, rest) = Event::first(&bytes).expect("it is whole");
        assert_eq!(
            (event.watch, event.kind, event.name, rest.len()),
            (7, ReadFlags::MODIFY, &b"name"[..], 0)
        );
        for end in 0..bytes.len() {
            assert!(Event::first(&bytes[..end]).is_none(), "{end}");
        }
    }
}
