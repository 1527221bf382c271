//! One instance's linear memory in its slot, as wasmer sees it.

use std::{
    io,
    ptr::{self, NonNull},
    sync::Arc,
};

use wasmer::{
    MemoryType, Pages,
    sys::vm::{LinearMemory, MemoryError, MemoryStyle, Trap, VMMemoryDefinition},
};

use super::{
    checked,
    faults::{self, Visitors},
    image::Image,
    open,
    slots::{Slot, Slots},
    written::{self, Runs},
};

/// As much written memory is copied back and stays with the instance; of more, the pages are dropped.
const KEEP_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct SlotMemory {
    // absent only while it is dropped
    slot: Option<Slot>,
    slots: Arc<Slots>,
    image: Option<Arc<Image>>,
    visitors: Arc<Visitors>,
    /// As of the last time that it went back.
    known: Option<Known>,
    definition: NonNull<VMMemoryDefinition>,
    ty: MemoryType,
    pages: Pages,
}

/// Where the guest has written, as far as it is known.
#[derive(Debug)]
struct Known {
    written: Box<Runs>,
    thread: u64,
    faults: u64,
}

// SAFETY: the definition lies in the instance that owns this memory, and moves between threads with it; it is used
// only through `&mut self`, or handed to wasmer, which asked for it.
unsafe impl Send for SlotMemory {}
// SAFETY: as above; `&self` reads plain values only.
unsafe impl Sync for SlotMemory {}

impl SlotMemory {
    /// A memory of type `ty` that begins as `image`, or as zeros. Of static style: one whose every access out of
    /// bounds ends in its slot.
    ///
    /// # Safety
    /// `definition` must be valid for writes, and for as long as this value lives.
    pub(super) unsafe fn new(
        slots: &Arc<Slots>,
        image: Option<Arc<Image>>,
        visitors: Arc<Visitors>,
        ty: MemoryType,
        definition: NonNull<VMMemoryDefinition>,
    ) -> io::Result<Self> {
        let mut slot = slots.take(image.as_ref().map(|image| image.id()))?;
        let pages = match prepare(&mut slot, image.as_deref(), ty.minimum) {
            Ok(pages) => pages,
            Err(why) => {
                // of which the beginning may be there
                if slot.blank().is_ok() {
                    slots.give_back(slot);
                }
                return Err(why);
            }
        };
        let (slot, slots) = (Some(slot), slots.clone());
        let mut memory = SlotMemory { slot, slots, image, visitors, known: None, definition, ty, pages };
        memory.tell_size();
        Ok(memory)
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.slot.as_ref().map_or(ptr::null_mut(), Slot::base)
    }

    fn tell_size(&mut self) {
        let base = self.base();
        // SAFETY: valid by the promise made to `new`; compiled code reads it only while the guest runs, and then
        // nobody else is here.
        let definition = unsafe { self.definition.as_mut() };
        definition.base = base;
        definition.current_length = self.pages.bytes().0;
    }

    /// Puts the memory back to what the image holds.
    fn go_back(&mut self) -> io::Result<()> {
        let Some(image) = self.image.clone() else {
            return Err(io::Error::other("it was not started from an image"));
        };
        let (base, initial) = (self.base(), image.len());
        let grown = self.pages.bytes().0;
        if grown > initial {
            // SAFETY: within the slot, which is `self`'s alone, and only what was opened by growing.
            unsafe { close(base.add(initial), grown - initial)? };
            self.pages = Pages((initial / wasmer::WASM_PAGE_SIZE) as u32);
        }
        let start = base.expose_provenance();
        let (thread, faults) = (faults::this_thread(), faults::count());
        let is_known = |known: &Known| {
            known.thread == thread && Some(known.faults) == faults && self.visitors.is_only(thread)
        };
        let written = match self.known.take() {
            Some(known) if is_known(&known) => Some(known.written),
            _ => written::runs(start, start + initial).map(Box::new),
        };
        self.visitors.clear();
        match written {
            Some(written) if written.bytes() <= KEEP_BYTES => {
                for run in written.iter() {
                    let range = run.start as usize - start..run.end as usize - start;
                    // SAFETY: the kernel names runs within the range it was asked about, which is this memory's, and the
                    // guest is not running.
                    unsafe { image.write_to(base, range) };
                }
                self.known = faults.map(|faults| Known { written, thread, faults });
            }
            // SAFETY: within the slot; private pages of the image's mapping are dropped, and read from it again; others are
            // zeros again.
            _ => unsafe {
                forget(base, initial)?;
            },
        }
        self.tell_size();
        Ok(())
    }

    /// Leaves the slot blank, or with the image as it was.
    fn scrub(&mut self, slot: &mut Slot) -> io::Result<()> {
        let (base, len) = (slot.base(), self.pages.bytes().0);
        match &self.image {
            None => {
                // SAFETY: the slot is exclusively ours, and the instance that used it is being dropped.
                unsafe { forget(base, len)? };
                slot.blank()
            }
            // SAFETY: as above.
            Some(image) => unsafe {
                let initial = image.len();
                if len > initial {
                    close(base.add(initial), len - initial)?;
                }
                forget(base, initial)
            },
        }
    }
}

/// Makes a slot begin as `image`, or as `minimum` pages of zeros; how many pages that is.
fn prepare(slot: &mut Slot, image: Option<&Image>, minimum: Pages) -> io::Result<Pages> {
    let Some(image) = image else {
        open(slot.base(), minimum.bytes().0)?;
        return Ok(minimum);
    };
    if slot.image() != Some(image.id()) {
        // SAFETY: the slot is exclusively ours, blank, and longer than any image.
        unsafe { image.map_at(slot.base())? };
        slot.set_image(Some(image.id()));
    }
    Ok(Pages((image.len() / wasmer::WASM_PAGE_SIZE) as u32))
}

/// Drops what was written to private memory, some at a time: meanwhile the kernel holds a lock that others of the process wait for.
///
/// # Safety
/// Nobody may use the range.
unsafe fn forget(at: *mut u8, len: usize) -> io::Result<()> {
    const AT_ONCE_BYTES: usize = 16 << 20;
    for begin in (0..len).step_by(AT_ONCE_BYTES) {
        let (at, len) = (at.wrapping_add(begin), AT_ONCE_BYTES.min(len - begin));
        // SAFETY: by the caller's promise.
        checked(unsafe { libc::madvise(at.cast(), len, libc::MADV_DONTNEED) })?;
    }
    Ok(())
}

/// Makes anonymous memory inaccessible and forgets its content.
///
/// # Safety
/// Nobody may use the range any more.
unsafe fn close(at: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: by the caller's promise.
    unsafe {
        forget(at, len)?;
        checked(libc::mprotect(at.cast(), len, libc::PROT_NONE)).map(drop)
    }
}

impl LinearMemory for SlotMemory {
    fn ty(&self) -> MemoryType {
        self.ty
    }

    fn size(&self) -> Pages {
        self.pages
    }

    fn style(&self) -> MemoryStyle {
        MemoryStyle::Static
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        let (current, error) =
            (self.pages, MemoryError::CouldNotGrow { current: self.pages, attempted_delta: delta });
        if delta.0 == 0 {
            return Ok(current);
        }
        let limit = self.ty.maximum.unwrap_or(Pages::max_value());
        let Some(new) = current.checked_add(delta).filter(|new| *new <= limit) else { return Err(error) };
        // `wrapping_add`: within the slot, which is longer than any memory
        if open(self.base().wrapping_add(current.bytes().0), delta.bytes().0).is_err() {
            return Err(error);
        }
        self.pages = new;
        self.tell_size();
        Ok(current)
    }

    /// Back to the image, not to nothing: what "reset" means for a memory that begins as one.
    fn reset(&mut self) -> Result<(), MemoryError> {
        self.go_back().map_err(|why| MemoryError::Generic(why.to_string()))
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        self.definition
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::UnsupportedOperation { message: "a slot has one owner".into() })
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::UnsupportedOperation { message: "a slot has one owner".into() })
    }

    unsafe fn initialize_with_data(&self, start: usize, data: &[u8]) -> Result<(), Trap> {
        if self.image.is_none() {
            // SAFETY: the caller has checked that the range lies within the memory, which no guest uses yet.
            unsafe { ptr::copy_nonoverlapping(data.as_ptr(), self.base().add(start), data.len()) };
        }
        // else the image holds the data already, as the guest's init left it
        Ok(())
    }
}

impl Drop for SlotMemory {
    fn drop(&mut self) {
        let Some(mut slot) = self.slot.take() else { return };
        // a slot that cannot be scrubbed is never used again: address space is lost, and nothing leaks into another
        if self.scrub(&mut slot).is_ok() {
            self.slots.give_back(slot);
        }
    }
}
