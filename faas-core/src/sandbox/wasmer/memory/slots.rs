//! Address space for linear memories: reserved once, handed out again and again.
//!
//! A slot is as much address space as compiled code can reach from a memory's base, so that an access that is out of
//! bounds hits a page that is not there instead of a check. Nothing of it is accessible until a memory makes it so.
//! A free slot is either blank or still maps an image, unwritten: whoever needs that image next finds it in its place.

use std::{collections::HashMap, io, ptr};

use parking_lot::Mutex;
use wasmer::{WASM_MAX_PAGES, WASM_PAGE_SIZE, sys::vm::MemoryStyle};

use super::checked;

/// What compiled code can reach from a memory's base without a check: a 32-bit index and a 32-bit constant offset. Of
/// wasmer's own reckoning, which the compiler relies on.
const SLOT_BYTES: usize =
    WASM_MAX_PAGES as usize * WASM_PAGE_SIZE + MemoryStyle::static_offset_guard_size() as usize;
const _: () = assert!(SLOT_BYTES > 8 << 30);
/// 96 TiB of the 128 that a process has on x86-64.
const MAX_SLOTS: usize = 12 << 10;

/// Which image a slot maps.
pub(super) type ImageId = u64;

/// Exclusive use of one slot's address space. Whoever drops it without giving it back loses it until the pool ends.
#[derive(Debug)]
pub(super) struct Slot {
    base: usize,
    /// The image that begins at its base, mapped privately and unwritten.
    image: Option<ImageId>,
}

impl Slot {
    pub(super) fn base(&self) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.base)
    }

    pub(super) fn image(&self) -> Option<ImageId> {
        self.image
    }

    pub(super) fn set_image(&mut self, image: Option<ImageId>) {
        self.image = image;
    }

    /// Makes the whole slot inaccessible, and forgets its content.
    pub(super) fn blank(&mut self) -> io::Result<()> {
        // SAFETY: the slot is this value's alone, and nobody uses its memory any more; the range is one reservation.
        unsafe { reserve(self.base(), libc::MAP_FIXED)? };
        self.image = None;
        Ok(())
    }
}

/// Reserves a slot's length of address space.
///
/// # Safety
/// With `MAP_FIXED` in `flags`, all of the range at `at` must be the caller's to replace.
unsafe fn reserve(at: *mut u8, flags: libc::c_int) -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | flags;
    // SAFETY: a new mapping, or by the caller's promise one that replaces what is the caller's.
    let base = unsafe { libc::mmap(at.cast(), SLOT_BYTES, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base.expose_provenance()) }
}

/// All slots of a runtime.
#[derive(Debug)]
pub(in super::super) struct Slots {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bases: Vec<usize>,
    free: HashMap<Option<ImageId>, Vec<Slot>>,
    images: ImageId,
}

impl Default for Slots {
    fn default() -> Self {
        Self::with_max(MAX_SLOTS)
    }
}

impl Slots {
    pub(super) fn with_max(max: usize) -> Self {
        Slots { max, state: Mutex::default() }
    }

    /// A number for a new image.
    pub(super) fn next_image(&self) -> ImageId {
        let mut state = self.state.lock();
        state.images += 1;
        state.images
    }

    /// A slot, one that still maps `image` if there is one, else a blank one.
    pub(super) fn take(&self, image: Option<ImageId>) -> io::Result<Slot> {
        let mut state = self.state.lock();
        let mut free = |image| state.free.get_mut(&image).and_then(Vec::pop);
        if let Some(slot) = image.and_then(|image| free(Some(image))).or_else(|| free(None)) {
            return Ok(slot);
        }
        if state.bases.len() < self.max {
            // SAFETY: without MAP_FIXED no mapping is replaced.
            let base = unsafe { reserve(ptr::null_mut(), 0)? };
            state.bases.push(base);
            return Ok(Slot { base, image: None });
        }
        // another image's is the last resort: its next start must map it again
        let mut slot =
            state.free.values_mut().find_map(Vec::pop).ok_or_else(|| {
                io::Error::other(format!("all {} places for instances are taken", self.max))
            })?;
        drop(state);
        slot.blank()?;
        Ok(slot)
    }

    /// Takes back a slot whose memory is as [`Slot::image`] says.
    pub(super) fn give_back(&self, slot: Slot) {
        self.state.lock().free.entry(slot.image).or_default().push(slot);
    }

    /// Unmaps an image that nobody will ask for again.
    pub(super) fn forget(&self, image: ImageId) {
        let slots = self.state.lock().free.remove(&Some(image)).unwrap_or_default();
        for mut slot in slots {
            // one that cannot be blanked is lost, and with it only address space
            if slot.blank().is_ok() {
                self.give_back(slot);
            }
        }
    }

    /// How many slots there are, and how many of them are free.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.bases.len(), state.free.values().map(Vec::len).sum())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for base in &self.state.get_mut().bases {
            // SAFETY: every memory in a slot holds these slots by an `Arc`, so none is left; the range is one
            // reservation, made by `reserve`.
            let unmapped =
                checked(unsafe { libc::munmap(ptr::with_exposed_provenance_mut(*base), SLOT_BYTES) });
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_used_again_first_by_its_own_image() {
        let slots = Slots::with_max(3);
        let (mut a, b) = (slots.take(None).expect("room"), slots.take(None).expect("room"));
        a.set_image(Some(7));
        let (at_a, at_b) = (a.base(), b.base());
        slots.give_back(a);
        slots.give_back(b);
        let again = slots.take(Some(7)).expect("room");
        assert_eq!((again.base(), again.image()), (at_a, Some(7)));
        assert_eq!(slots.take(Some(8)).expect("room").base(), at_b, "a blank one");
    }

    #[test]
    fn there_are_no_more_than_the_most() {
        let slots = Slots::with_max(2);
        let (mut a, _b) = (slots.take(None).expect("room"), slots.take(None).expect("room"));
        assert_eq!(
            slots.take(None).expect_err("none left").to_string(),
            "all 2 places for instances are taken"
        );
        a.set_image(Some(7));
        let at = a.base();
        slots.give_back(a);
        let taken = slots.take(Some(8)).expect("another image's");
        assert_eq!((taken.base(), taken.image()), (at, None));
        assert_eq!(slots.counts(), (2, 0));
    }

    #[test]
    fn an_image_that_is_gone_leaves_blank_slots() {
        let slots = Slots::with_max(1);
        let mut a = slots.take(None).expect("room");
        a.set_image(Some(7));
        slots.give_back(a);
        slots.forget(7);
        assert_eq!(slots.take(Some(8)).expect("room").image(), None);
    }
}
