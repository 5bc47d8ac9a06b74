//! How fast the machine is at the moment. Others share it, and work of one core alone does not show how much.

use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use crate::Outcome;

/// A fraction of a second on two cores of 2026.
const ROUNDS: usize = 5_000;

/// Milliseconds that two threads take for a fixed piece of work: each packs a batch and waits for a word of the
/// other, again and again.
pub(crate) fn pace(batch: &[u8]) -> Outcome<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let sides = [one, other].map(|side| scope.spawn(move || work(side, batch)));
        sides.into_iter().try_for_each(|side| side.join().expect("it has no reason to panic"))
    })?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

fn work(mut side: TcpStream, batch: &[u8]) -> io::Result<()> {
    side.set_nodelay(true)?;
    for _ in 0..ROUNDS {
        side.write_all(&[0])?;
        black_box(lz4_flex::block::compress(black_box(batch)));
        side.read_exact(&mut [0])?;
    }
    Ok(())
}
