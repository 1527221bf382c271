//! What an image must not freeze: randomness that init drew, and the time that it read.
//!
//! A function that makes a `HashMap` in its init draws the seed of the thread's hash keys, which std keeps in a cell
//! and counts up for each map. The cell is found in the image by its value and drawn again at each start, so that maps
//! made later are seeded differently in every instance; maps that init made keep their seeds, as their entries lie
//! where those seeds have put them. Any other randomness, and any reading of a clock, means that the guest keeps
//! something that nobody could find: it is not started from an image.

use std::{fmt, ops::Range};

/// What the imports saw while init ran.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct InitReads {
    pub(in super::super) clock: bool,
    draws: Vec<[u8; KEYS_BYTES]>,
    drew_other: bool,
}

/// std draws the two keys of its hasher at once.
pub(in super::super) const KEYS_BYTES: usize = 16;
/// Draws that are remembered. std draws once a thread, and a guest has one.
const MAX_DRAWS: usize = 4;
/// A cell that has counted further is not looked for.
const MAX_MAPS: u64 = 1 << 20;
/// Cells that are drawn again at each start, on the thread that answers clients. std has one; stale copies on the
/// stack may look like more, by a few. Only who fills memory with what looks like cells has many.
const MAX_CELLS: usize = 16;

impl InitReads {
    /// Learns of randomness that the guest got.
    pub(in super::super) fn drew(&mut self, bytes: &[u8]) {
        match bytes.try_into() {
            Ok(keys) if self.draws.len() < MAX_DRAWS => self.draws.push(keys),
            _ => self.drew_other |= !bytes.is_empty(),
        }
    }
}

/// Why a function is started without an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum NotRestorable {
    /// Its module changes what is neither memory nor a number.
    Module(super::restorable::Keeps),
    /// Its init read a clock.
    Clock,
    /// Its init drew randomness, and not for std's hash maps alone.
    Random,
    /// More places than [`MAX_CELLS`] look as if they held the seed of its hash maps.
    Cells,
    /// Its init writes all over its memory, and little in each place.
    Scattered,
    /// The operating system refused memory for the image.
    System(String),
}

impl fmt::Display for NotRestorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRestorable::Module(keeps) => keeps.fmt(f),
            NotRestorable::Clock => {
                f.write_str("its init reads the clock, and every copy would have the same time")
            }
            NotRestorable::Random => {
                f.write_str("its init draws random numbers, and every copy would have the same ones")
            }
            NotRestorable::Cells => write!(
                f,
                "its init leaves the seed of its hash maps in more than {MAX_CELLS} places, and every copy would have \
                 to renew them all"
            ),
            NotRestorable::Scattered => f.write_str(
                "its init writes in places that are far apart, and every copy could make the host keep all between them",
            ),
            NotRestorable::System(why) => write!(f, "no memory for a snapshot: {why}"),
        }
    }
}

/// Where in an image the hash keys are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Seeds {
    cells: Vec<u64>,
}

impl Seeds {
    /// Finds all that `reads` have left in `memory`, which is zeros outside of `touched`.
    pub(super) fn find(
        memory: &[u8],
        touched: &[Range<usize>],
        reads: &InitReads,
    ) -> Result<Self, NotRestorable> {
        if reads.clock {
            return Err(NotRestorable::Clock);
        }
        if reads.drew_other {
            return Err(NotRestorable::Random);
        }
        let mut cells = Vec::new();
        for draw in &reads.draws {
            cells.extend(cells_of(memory, touched, draw)?);
        }
        if cells.len() > MAX_CELLS {
            return Err(NotRestorable::Cells);
        }
        Ok(Seeds { cells })
    }

    /// The addresses in the guest's memory at which each instance needs keys of its own.
    pub(in super::super) fn cells(&self) -> impl Iterator<Item = u64> {
        self.cells.iter().copied()
    }
}

/// The cells that have counted on from `keys`: those that have counted furthest, because each map has a copy of what
/// the cell held when the map was made. A stack that has returned may hold another copy, which nobody reads.
fn cells_of(
    memory: &[u8],
    touched: &[Range<usize>],
    keys: &[u8; KEYS_BYTES],
) -> Result<Vec<u64>, NotRestorable> {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let (first, second) = (word(&keys[..8]), word(&keys[8..]));
    // no cell reaches out of a run: half of it would be zeros
    let pairs = touched.iter().flat_map(|run| {
        let words = memory[run.clone()].chunks_exact(8).map(word);
        (run.start..).step_by(8).zip(words.clone().zip(words.skip(1)))
    });
    let (mut furthest, mut cells) = (0, Vec::new());
    for (at, (a, _)) in pairs.filter(|(_, (_, b))| *b == second) {
        let count = a.wrapping_sub(first);
        if !(1..MAX_MAPS).contains(&count) || count < furthest {
            continue;
        }
        if count > furthest {
            furthest = count;
            cells.clear();
        }
        // one more than there may be tells that there are too many
        if cells.len() <= MAX_CELLS {
            cells.push(at as u64);
        }
    }
    match cells.len() {
        0 => Err(NotRestorable::Random),
        1..=MAX_CELLS => Ok(cells),
        _ => Err(NotRestorable::Cells),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(draws: &[&[u8]]) -> InitReads {
        let mut reads = InitReads::default();
        draws.iter().for_each(|draw| reads.drew(draw));
        reads
    }

    /// Memory with pairs of words at some addresses.
    fn memory(pairs: &[(usize, u64, u64)]) -> Vec<u8> {
        let mut memory = vec![0; 1 << 16];
        for (at, a, b) in pairs {
            memory[*at..at + 8].copy_from_slice(&a.to_le_bytes());
            memory[at + 8..at + 16].copy_from_slice(&b.to_le_bytes());
        }
        memory
    }

    fn find(memory: &[u8], reads: &InitReads) -> Result<Seeds, NotRestorable> {
        Seeds::find(memory, std::slice::from_ref(&(0..memory.len())), reads)
    }

    fn keys(a: u64, b: u64) -> Vec<u8> {
        [a.to_le_bytes(), b.to_le_bytes()].concat()
    }

    #[test]
    fn the_cell_is_what_has_counted_furthest() {
        // the buffer of the draw, two maps, and the cell
        let memory = memory(&[(64, 100, 7), (1024, 100, 7), (2048, 101, 7), (4096, 102, 7)]);
        let seeds = find(&memory, &reads(&[&keys(100, 7)])).expect("found");
        assert_eq!(seeds.cells, [4096]);
    }

    #[test]
    fn there_are_no_more_cells_than_can_be_renewed_in_no_time() {
        let copies = |n: usize| memory(&(0..n).map(|i| (1024 + 16 * i, 101, 7)).collect::<Vec<_>>());
        let reads = reads(&[&keys(100, 7)]);
        let found = find(&copies(MAX_CELLS), &reads).expect("as many as there may be");
        assert_eq!(found.cells().count(), MAX_CELLS);
        assert_eq!(find(&copies(MAX_CELLS + 1), &reads), Err(NotRestorable::Cells));
        // as many that have not counted as far are stale, wherever they are
        let mut stale = copies(1000);
        stale[1 << 15..][..16].copy_from_slice(&keys(102, 7));
        assert_eq!(find(&stale, &reads).expect("one").cells, [1 << 15]);
    }

    #[test]
    fn cells_of_several_draws_are_counted_together() {
        let pairs: Vec<_> =
            (0..MAX_CELLS + 1).map(|i| (16 * i, 101 + 100 * (i as u64 % 2), 7 + i as u64 % 2)).collect();
        let reads = reads(&[&keys(100, 7), &keys(200, 8)]);
        assert_eq!(find(&memory(&pairs), &reads), Err(NotRestorable::Cells));
    }

    #[test]
    fn what_cannot_be_found_is_not_frozen() {
        let memory = memory(&[(64, 100, 7)]);
        for (reads, why) in [
            (reads(&[&keys(100, 7)]), NotRestorable::Random),
            (reads(&[&[1; 32]]), NotRestorable::Random),
            (InitReads { clock: true, ..InitReads::default() }, NotRestorable::Clock),
        ] {
            assert_eq!(find(&memory, &reads), Err(why));
        }
        assert_eq!(find(&memory, &reads(&[])), Ok(Seeds::default()));
    }
}
