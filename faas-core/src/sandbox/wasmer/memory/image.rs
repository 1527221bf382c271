//! A function's initialised state: its memory in a file without a name, and its globals.
//!
//! Made once, then only read: the file is sealed, so no mapping of it can change what others see.

use std::{
    fs::File,
    io,
    ops::Range,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    ptr::NonNull,
    sync::Arc,
};

use wasmer::sys::vm::VMGlobalDefinition;

use super::{
    checked,
    seeds::Seeds,
    slots::{ImageId, Slots},
};

const PAGE_BYTES: usize = 4096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Image {
    id: ImageId,
    file: File,
    pages: NonNull<u8>,
    len: usize,
    pub(super) globals: Vec<VMGlobalDefinition>,
    pub(in super::super) seeds: Seeds,
    slots: Arc<Slots>,
}

// SAFETY: `pages` is a read-only mapping of a file that is sealed against writing, owned by this value.
unsafe impl Send for Image {}
// SAFETY: as above: nobody writes what all read.
unsafe impl Sync for Image {}

impl Image {
    /// Keeps `memory`, which is zeros outside of `touched`, and `globals`. Fails when the system is out of memory or has no memfd.
    pub(super) fn new(
        slots: &Arc<Slots>,
        memory: &[u8],
        touched: &[Range<usize>],
        globals: Vec<VMGlobalDefinition>,
        seeds: Seeds,
    ) -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string; the result is checked, and then a descriptor that nobody else owns.
        let fd = checked(unsafe { libc::memfd_create(c"faas-image".as_ptr(), flags) })?;
        // SAFETY: as above.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(memory.len() as u64)?;
        for run in touched {
            for (i, page) in memory[run.clone()].chunks(PAGE_BYTES).enumerate() {
                // what is not written reads as zero, and takes no memory
                if *page != ZEROS[..page.len()] {
                    file.write_all_at(page, (run.start + i * PAGE_BYTES) as u64)?;
                }
            }
        }
        let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: the descriptor is open; the arguments are numbers.
        checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        // SAFETY: a new mapping: no other is replaced.
        let pages = unsafe {
            let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
            libc::mmap(std::ptr::null_mut(), memory.len(), protection, flags, file.as_raw_fd(), 0)
        };
        if pages == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = NonNull::new(pages.cast()).ok_or_else(|| io::Error::other("a mapping at zero"))?;
        let id = slots.next_image();
        Ok(Image { id, file, pages, len: memory.len(), globals, seeds, slots: slots.clone() })
    }

    /// How much memory it takes. Who looks at what is zeros through [`Image::memory`] makes it more.
    #[cfg(test)]
    pub(super) fn taken_bytes(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(512 * self.file.metadata()?.blocks())
    }

    pub(super) fn id(&self) -> ImageId {
        self.id
    }

    pub(super) fn memory(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long, lives as long as this value, and its file never changes.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr(), self.len) }
    }

    /// Maps the memory privately at `base`, readable and writable.
    ///
    /// # Safety
    /// The `len` bytes at `base` must be the caller's to replace.
    pub(super) unsafe fn map_at(&self, base: *mut u8) -> io::Result<()> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: by the caller's promise; private, so that what is written stays with the mapping.
        let at = unsafe { libc::mmap(base.cast(), self.len, protection, flags, self.file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.slots.forget(self.id);
        // SAFETY: made by `new`, and no slice of it outlives `self`.
        let unmapped = checked(unsafe { libc::munmap(self.pages.as_ptr().cast(), self.len) });
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
