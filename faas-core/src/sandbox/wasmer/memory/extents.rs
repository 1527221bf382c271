//! Which parts of a memory an image keeps in its file, and which begin as zeros that no file is needed for.
//!
//! A page that is mapped from a file and touched for the first time takes memory twice: the file gets a page for it even where nothing was
//! ever written, and keeps it when the instance is gone. So what init has left as zeros is not mapped from the file, except where that is
//! little and lies between what is: each part costs a system call at a start, and an entry among the mappings of the process.
//!
//! Pure.

use std::ops::Range;

use super::seeds::NotRestorable;

const PAGE_BYTES: usize = 4096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
/// Extents begin and end at multiples of this, which are pages of any system's.
const ALIGNMENT_BYTES: usize = wasmer::WASM_PAGE_SIZE;
/// Zeros between two parts, or beside one, are kept with them if they are no more.
const NEAR_BYTES: usize = 2 << 20;
const MAX_EXTENTS: usize = 8;
/// Zeros in the file that touching may turn into memory of the host's, at most.
const MAX_HOLES_BYTES: usize = 64 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extents {
    /// Runs of pages that are not zeros, in order.
    written: Vec<Range<usize>>,
    /// What is in the file, in order and apart; all that is written lies in them.
    extents: Vec<Range<usize>>,
}

impl Extents {
    /// Of `memory`, which is zeros outside of `touched`.
    pub(super) fn of(memory: &[u8], touched: &[Range<usize>]) -> Result<Self, NotRestorable> {
        let written = written(memory, touched);
        let extents = joined(&written, memory.len());
        let bytes = |ranges: &[Range<usize>]| ranges.iter().map(ExactSizeIterator::len).sum::<usize>();
        if bytes(&extents) - bytes(&written) > MAX_HOLES_BYTES {
            return Err(NotRestorable::Scattered);
        }
        Ok(Extents { written, extents })
    }

    /// What must be written to the file.
    pub(super) fn written(&self) -> impl Iterator<Item = Range<usize>> {
        self.written.iter().cloned()
    }

    /// Cuts `range` at the borders of the extents; with each piece, whether it is in one or zeros.
    pub(super) fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, bool)> {
        let mut at = range.start;
        let within = self.extents.iter().map(move |e| e.start.max(range.start)..e.end.min(range.end));
        let within = within.filter(|extent| !extent.is_empty());
        let pieces = within.chain(std::iter::once(range.end..range.end)).flat_map(move |extent| {
            let zeros = at..extent.start;
            at = extent.end;
            [(zeros, false), (extent, true)]
        });
        pieces.filter(|(piece, _)| !piece.is_empty())
    }
}

/// Whether all of it is zeros.
pub(super) fn is_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(PAGE_BYTES).all(|page| *page == ZEROS[..page.len()])
}

fn written(memory: &[u8], touched: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut written: Vec<Range<usize>> = Vec::new();
    for run in touched {
        for (i, page) in memory[run.clone()].chunks(PAGE_BYTES).enumerate() {
            if is_zeros(page) {
                continue;
            }
            let at = run.start + i * PAGE_BYTES;
            match written.last_mut() {
                Some(last) if last.end == at => last.end += page.len(),
                _ => written.push(at..at + page.len()),
            }
        }
    }
    written
}

/// The extents of a memory of `len` bytes.
fn joined(written: &[Range<usize>], len: usize) -> Vec<Range<usize>> {
    // as if the ends were written too: zeros there are near or not as elsewhere
    let ends = [0..0, len..len];
    let runs = || ends[..1].iter().chain(written).chain(&ends[1..]);
    let mut gaps: Vec<usize> = runs().zip(runs().skip(1)).map(|(a, b)| b.start - a.end).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // so many gaps may be left out, and no shorter ones
    let near = gaps.get(MAX_EXTENTS - 1).map_or(NEAR_BYTES, |gap| NEAR_BYTES.max(*gap));
    let mut extents: Vec<Range<usize>> = Vec::new();
    for run in runs() {
        match extents.last_mut() {
            Some(last) if run.start - last.end <= near => last.end = run.end,
            _ => extents.push(run.clone()),
        }
    }
    extents.retain(|extent| !extent.is_empty());
    for extent in &mut extents {
        extent.start -= extent.start % ALIGNMENT_BYTES;
        extent.end = extent.end.next_multiple_of(ALIGNMENT_BYTES).min(len);
    }
    extents
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    /// The one extent, from where to where.
    fn one(extents: &[Range<usize>]) -> (usize, usize) {
        let [extent] = extents else { panic!("{extents:?}") };
        (extent.start, extent.end)
    }

    fn page_at(at: usize) -> Range<usize> {
        at..at + PAGE_BYTES
    }

    #[test]
    fn what_is_small_or_written_all_over_is_one_part() {
        assert_eq!(one(&joined(&[], 17 << 16)), (0, 17 << 16));
        assert_eq!(one(&joined(&[page_at(MIB)], 17 << 16)), (0, 17 << 16));
        let all_over: Vec<_> = (0..16).map(|i| page_at(i * MIB)).collect();
        assert_eq!(one(&joined(&all_over, 16 * MIB)), (0, 16 * MIB));
    }

    #[test]
    fn zeros_that_are_many_are_left_out() {
        assert!(joined(&[], 8 * MIB).is_empty());
        assert_eq!(one(&joined(&[page_at(4 * MIB)], 8 * MIB)), (4 * MIB, 4 * MIB + ALIGNMENT_BYTES));
        // a page that is not at a border, at the beginning and near the end
        let written = [page_at(0), page_at(8 * MIB - PAGE_BYTES)];
        assert_eq!(joined(&written, 9 * MIB), [0..ALIGNMENT_BYTES, 8 * MIB - ALIGNMENT_BYTES..9 * MIB]);
    }

    #[test]
    fn of_many_parts_those_that_are_nearest_are_joined() {
        // every 3 MiB, and one gap of 9 in the middle
        let written: Vec<_> =
            (0..30).map(|i| page_at(3 * MIB * i + if i < 15 { 0 } else { 6 * MIB })).collect();
        let len = 96 * MIB;
        let extents = joined(&written, len);
        assert_eq!(extents, [0..42 * MIB + ALIGNMENT_BYTES, 51 * MIB..len]);
    }

    #[test]
    fn what_is_scattered_is_refused() {
        // 160 MiB that are never touched but for a byte every five
        let mut memory = vec![0; 160 * MIB];
        let touched: Vec<_> = (0..32).map(|i| page_at(5 * MIB * i)).collect();
        touched.iter().for_each(|page| memory[page.start] = 1);
        assert_eq!(Extents::of(&memory, &touched), Err(NotRestorable::Scattered));
        assert!(Extents::of(&memory, &touched[..12]).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_written_lies_in_few_parts_that_are_apart(
            pages in prop::collection::btree_set(0..16_384usize, 0..40),
        ) {
            let len = 16_384 * PAGE_BYTES;
            let written: Vec<_> = pages.into_iter().map(|page| page_at(page * PAGE_BYTES)).collect();
            let extents = joined(&written, len);
            prop_assert!(extents.len() <= MAX_EXTENTS);
            prop_assert!(extents.is_sorted_by(|a, b| a.end < b.start) && extents.iter().all(|e| e.end <= len));
            let holds = |run: &Range<usize>| extents.iter().any(|e| e.start <= run.start && run.end <= e.end);
            prop_assert!(written.iter().all(holds), "{extents:?}");
        }

        #[test]
        fn pieces_make_up_the_range(
            starts in prop::collection::btree_set(0..100usize, 0..8),
            range in (0..1000usize, 0..1000usize),
        ) {
            let extents: Vec<_> = starts.into_iter().map(|at| 10 * at..10 * at + 5).collect();
            let extents = Extents { written: Vec::new(), extents };
            let range = range.0.min(range.1)..range.0.max(range.1);
            let mut at = range.start;
            for (piece, is_kept) in extents.pieces(range.clone()) {
                prop_assert_eq!(piece.start, at);
                prop_assert!(piece.clone().all(|byte| is_kept == extents.extents.iter().any(|e| e.contains(&byte))));
                at = piece.end;
            }
            prop_assert_eq!(at, range.end);
        }
    }
}
