//! What an image must not freeze: randomness that init drew, and the time that it read.
//!
//! A function that makes a `HashMap` in its init draws the seed of the thread's hash keys, which std keeps in a cell
//! and counts up for each map. The cell is found in the image by its value and drawn again at each start, so that maps
//! made later are seeded differently in every instance; maps that init made keep their seeds, as their entries lie
//! where those seeds have put them. Any other randomness, and any reading of a clock, means that the guest keeps
//! something that nobody could find: it is not started from an image.

use std::fmt;

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
    /// Finds all that `reads` have left in `memory`.
    pub(super) fn find(memory: &[u8], reads: &InitReads) -> Result<Self, NotRestorable> {
        if reads.clock {
            return Err(NotRestorable::Clock);
        }
        if reads.drew_other {
            return Err(NotRestorable::Random);
        }
        let mut cells = Vec::new();
        for draw in &reads.draws {
            cells.extend(cells_of(memory, draw).ok_or(NotRestorable::Random)?);
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
fn cells_of(memory: &[u8], keys: &[u8; KEYS_BYTES]) -> Option<Vec<u64>> {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let (first, second) = (word(&keys[..8]), word(&keys[8..]));
    let words = memory.chunks_exact(8).map(word);
    let counted = words.clone().zip(words.skip(1)).enumerate().filter(|(_, (_, b))| *b == second);
    let counted: Vec<(u64, u64)> = counted
        .map(|(i, (a, _))| (a.wrapping_sub(first), 8 * i as u64))
        .filter(|(count, _)| (1..MAX_MAPS).contains(count))
        .collect();
    let furthest = counted.iter().map(|(count, _)| *count).max()?;
    Some(counted.into_iter().filter(|(count, _)| *count == furthest).map(|(_, at)| at).collect())
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

    fn keys(a: u64, b: u64) -> Vec<u8> {
        [a.to_le_bytes(), b.to_le_bytes()].concat()
    }

    #[test]
    fn the_cell_is_what_has_counted_furthest() {
        // the buffer of the draw, two maps, and the cell
        let memory = memory(&[(64, 100, 7), (1024, 100, 7), (2048, 101, 7), (4096, 102, 7)]);
        let seeds = Seeds::find(&memory, &reads(&[&keys(100, 7)])).expect("found");
        assert_eq!(seeds.cells, [4096]);
    }

    #[test]
    fn what_cannot_be_found_is_not_frozen() {
        let memory = memory(&[(64, 100, 7)]);
        for (reads, why) in [
            (reads(&[&keys(100, 7)]), NotRestorable::Random),
            (reads(&[&[1; 32]]), NotRestorable::Random),
            (InitReads { clock: true, ..InitReads::default() }, NotRestorable::Clock),
        ] {
            assert_eq!(Seeds::find(&memory, &reads), Err(why));
        }
        assert_eq!(Seeds::find(&memory, &reads(&[])), Ok(Seeds::default()));
    }
}
