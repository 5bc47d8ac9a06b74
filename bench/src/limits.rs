//! What the machine gives in this run, by single pieces of the work that can not be left out, each alone on one
//! core.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::figures::digits;

/// Bytes a second, unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Seconds for a fixed piece of work, by which runs on other days and machines can be compared.
    pub(crate) calibration: f64,
    pub(crate) copy: f64,
    pub(crate) sum: f64,
    pub(crate) lz4: Packing,
    /// Of level 1, as the store has it.
    pub(crate) zstd: Packing,
    pub(crate) find: f64,
    pub(crate) write: f64,
    pub(crate) sync: Latency,
    /// A batch there, a byte back.
    pub(crate) round_trip: Latency,
    /// Of a process of weir that says its version.
    pub(crate) start: f64,
    /// An event of the batches that are sent, and of the store's documents as JSON lines.
    pub(crate) event_bytes: f64,
    pub(crate) document_bytes: f64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) pack: f64,
    pub(crate) unpack: f64,
    /// What is left of the size.
    pub(crate) ratio: f64,
}

/// In seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// What the limits are measured on.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    /// Events as they are sent, and how many.
    pub(crate) sent: (&'a [u8], usize),
    /// Documents as JSON lines, and how many.
    pub(crate) documents: (&'a [u8], usize),
    pub(crate) batch: &'a [u8],
    pub(crate) directory: &'a Path,
    pub(crate) weir: &'a Path,
}

impl Limits {
    pub(crate) fn measure(samples: &Samples<'_>, each: Duration) -> Outcome<Self> {
        let (sent, documents) = (samples.sent.0, samples.documents.0);
        let began = Instant::now();
        std::process::Command::new(samples.weir).arg("--version").output()?;
        let start = began.elapsed().as_secs_f64();
        // Too much for a cache.
        let memory = vec![1; 64 << 20];
        let mut copied = vec![0; memory.len()];
        Ok(Self {
            calibration: calibration(),
            copy: speed(each, &memory, || black_box(&mut copied).copy_from_slice(black_box(&memory))),
            sum: speed(each, sent, || crc32c::crc32c(black_box(sent))),
            lz4: lz4(each, sent)?,
            zstd: zstd(each, documents)?,
            find: speed(each, documents, || memchr::memmem::find(black_box(documents), b"no such words")),
            write: write(samples.directory, sent)?,
            sync: sync(samples.directory, each)?,
            round_trip: round_trip(samples.batch, each)?,
            start,
            event_bytes: sent.len() as f64 / samples.sent.1 as f64,
            document_bytes: documents.len() as f64 / samples.documents.1 as f64,
        })
    }

    /// CPU-seconds per million events into a journal, if all that was done with their bytes was to copy them in
    /// and out of the kernel, to sum and to pack them.
    pub(crate) fn journal_floor(&self) -> f64 {
        self.event_bytes * (2.0 / self.copy + 1.0 / self.sum + 1.0 / self.lz4.pack) * 1e6
    }

    /// CPU-seconds per million documents, if all that was done was to pack them.
    pub(crate) fn store_floor(&self) -> f64 {
        self.document_bytes / self.zstd.pack * 1e6
    }

    pub(crate) fn table(&self) -> String {
        let gigabytes = |rate: f64| format!("{} GB/s", digits(rate / 1e9));
        let millis =
            |time: Latency| format!("p50 {} ms, p99 {} ms", digits(time.p50 * 1e3), digits(time.p99 * 1e3));
        let rows = [
            ("calibration: 400 million dependent multiplications", format!("{} s", digits(self.calibration))),
            ("memory copied", gigabytes(self.copy)),
            ("CRC-32C", gigabytes(self.sum)),
            ("LZ4 of sent batches", packing(&self.lz4)),
            ("zstd level 1 of documents as JSON lines", packing(&self.zstd)),
            ("text looked through (memmem)", gigabytes(self.find)),
            ("disk, written in a row and synced at the end", gigabytes(self.write)),
            ("disk, 16 KiB appended and synced (fdatasync)", millis(self.sync)),
            ("loopback, a batch there and a byte back", millis(self.round_trip)),
            ("a process of weir that says its version", format!("{} ms", digits(self.start * 1e3))),
        ];
        let rows: String = rows.iter().map(|(what, value)| format!("| {what} | {value} |\n")).collect();
        format!("| what | limit |\n|---|---|\n{rows}")
    }
}

fn packing(packing: &Packing) -> String {
    let Packing { pack, unpack, ratio } = packing;
    format!("{} GB/s in, {} GB/s out, to {ratio:.2}", digits(pack / 1e9), digits(unpack / 1e9))
}

fn calibration() -> f64 {
    let began = Instant::now();
    let mut state = 1u64;
    for _ in 0..400_000_000u64 {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    began.elapsed().as_secs_f64()
}

/// The best of what is done with `data` again and again for `each`: what others on the machine take is no limit.
fn speed<T>(each: Duration, data: &[u8], mut work: impl FnMut() -> T) -> f64 {
    let (began, mut best) = (Instant::now(), f64::MAX);
    while began.elapsed() < each {
        let once = Instant::now();
        drop(black_box(work()));
        best = best.min(once.elapsed().as_secs_f64());
    }
    data.len() as f64 / best
}

fn lz4(each: Duration, data: &[u8]) -> Outcome<Packing> {
    let packed = lz4_flex::block::compress(data);
    let mut into = vec![0; lz4_flex::block::get_maximum_output_size(data.len())];
    let pack = speed(each, data, || lz4_flex::block::compress_into(black_box(data), &mut into));
    let mut into = vec![0; data.len()];
    let unpack = speed(each, data, || lz4_flex::block::decompress_into(black_box(&packed), &mut into));
    Ok(Packing { pack, unpack, ratio: packed.len() as f64 / data.len() as f64 })
}

fn zstd(each: Duration, data: &[u8]) -> Outcome<Packing> {
    let packed = zstd::bulk::compress(data, 1)?;
    let pack = speed(each, data, || zstd::bulk::compress(black_box(data), 1));
    let mut into = vec![0; data.len()];
    let unpack = speed(each, data, || zstd::bulk::decompress_to_buffer(black_box(&packed), &mut into));
    Ok(Packing { pack, unpack, ratio: packed.len() as f64 / data.len() as f64 })
}

fn write(directory: &Path, data: &[u8]) -> Outcome<f64> {
    const BYTES: usize = 512 << 20;
    let mut file = tempfile::tempfile_in(directory)?;
    let began = Instant::now();
    let mut written = 0;
    while written < BYTES {
        file.write_all(data)?;
        written += data.len();
    }
    file.sync_data()?;
    Ok(written as f64 / began.elapsed().as_secs_f64())
}

fn sync(directory: &Path, each: Duration) -> Outcome<Latency> {
    const PIECE: u64 = 16 << 10;
    let file: File = tempfile::tempfile_in(directory)?;
    // As a journal's file, which grows in large steps.
    file.set_len(64 << 20)?;
    let piece = vec![7; PIECE as usize];
    let mut at = 0;
    Latency::of(4 * each, || {
        file.write_all_at(&piece, at % (64 << 20))?;
        at += PIECE;
        file.sync_data()
    })
}

fn round_trip(batch: &[u8], each: Duration) -> Outcome<Latency> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    let (mut server, _) = listener.accept()?;
    server.set_nodelay(true)?;
    let length = batch.len();
    let echo = std::thread::spawn(move || {
        let mut received = vec![0; length];
        // Until the client is gone.
        while server.read_exact(&mut received).is_ok() && server.write_all(&[1]).is_ok() {}
    });
    let latency = Latency::of(each, || {
        client.write_all(batch)?;
        client.read_exact(&mut [0])
    });
    drop(client);
    echo.join().map_err(|_panic| "the echo ended badly")?;
    latency
}

impl Latency {
    fn of(each: Duration, mut work: impl FnMut() -> std::io::Result<()>) -> Outcome<Self> {
        let began = Instant::now();
        let mut times = Vec::new();
        while times.is_empty() || began.elapsed() < each {
            let once = Instant::now();
            work()?;
            times.push(once.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(Self { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100] })
    }
}
