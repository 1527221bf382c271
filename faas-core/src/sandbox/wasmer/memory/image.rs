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
    extents::{Extents, is_zeros},
    open,
    seeds::Seeds,
    slots::{ImageId, Slots},
};

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Image {
    id: ImageId,
    file: File,
    pages: NonNull<u8>,
    len: usize,
    extents: Extents,
    pub(super) globals: Vec<VMGlobalDefinition>,
    pub(in super::super) seeds: Seeds,
    slots: Arc<Slots>,
}

// SAFETY: `pages` is a read-only mapping of a file that is sealed against writing, owned by this value.
unsafe impl Send for Image {}
// SAFETY: as above: nobody writes what all read.
unsafe impl Sync for Image {}

impl Image {
    /// Keeps `memory`, whose `extents` these are, and `globals`. Fails when the system is out of memory or has no memfd.
    pub(super) fn new(
        slots: &Arc<Slots>,
        memory: &[u8],
        extents: Extents,
        globals: Vec<VMGlobalDefinition>,
        seeds: Seeds,
    ) -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string; the result is checked, and then a descriptor that nobody else owns.
        let fd = checked(unsafe { libc::memfd_create(c"faas-image".as_ptr(), flags) })?;
        // SAFETY: as above.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(memory.len() as u64)?;
        for run in extents.written() {
            file.write_all_at(&memory[run.clone()], run.start as u64)?;
        }
        let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: the descriptor is open; the arguments are numbers.
        checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
        // SAFETY: a new mapping: no other is replaced. (There is no mapping of nothing.)
        let pages = unsafe {
            let (protection, flags, len) = (libc::PROT_READ, libc::MAP_SHARED, memory.len().max(1));
            libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0)
        };
        if pages == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = NonNull::new(pages.cast()).ok_or_else(|| io::Error::other("a mapping at zero"))?;
        let id = slots.next_image();
        Ok(Image { id, file, pages, len: memory.len(), extents, globals, seeds, slots: slots.clone() })
    }

    /// How much memory it takes.
    #[cfg(test)]
    pub(super) fn taken_bytes(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(512 * self.file.metadata()?.blocks())
    }

    /// One that cannot be mapped.
    #[cfg(test)]
    pub(super) fn broken(self) -> io::Result<Self> {
        let mut image = self;
        image.file = File::open("/dev/null")?;
        Ok(image)
    }

    pub(super) fn id(&self) -> ImageId {
        self.id
    }

    /// Bytes of the memory.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What is kept of the memory in an extent. Outside of them the file stays as it is only if nobody looks.
    fn kept(&self, extent: Range<usize>) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long, lives as long as this value, and its file never changes.
        let memory = unsafe { std::slice::from_raw_parts(self.pages.as_ptr(), self.len) };
        &memory[extent]
    }

    /// Whether `memory` is what this is of.
    pub(super) fn is(&self, memory: &[u8]) -> bool {
        memory.len() == self.len
            && self.extents.pieces(0..self.len).all(|(piece, is_kept)| {
                let bytes = &memory[piece.clone()];
                if is_kept { bytes == self.kept(piece) } else { is_zeros(bytes) }
            })
    }

    /// Writes what `range` of the memory held to there in the memory at `base`.
    ///
    /// # Safety
    /// These bytes must be there, and the caller's to write.
    pub(super) unsafe fn write_to(&self, base: *mut u8, range: Range<usize>) {
        for (piece, is_kept) in self.extents.pieces(range) {
            let (at, len) = (base.wrapping_add(piece.start), piece.len());
            if is_kept {
                // SAFETY: by the caller's promise; the image is mapped elsewhere.
                unsafe { at.copy_from_nonoverlapping(self.kept(piece).as_ptr(), len) };
            } else {
                // SAFETY: by the caller's promise.
                unsafe { at.write_bytes(0, len) };
            }
        }
    }

    /// Maps the memory privately at `base`, readable and writable.
    ///
    /// # Safety
    /// The [`Image::len`] bytes at `base` must be anonymous memory that is nobody's, and the caller's to replace.
    pub(super) unsafe fn map_at(&self, base: *mut u8) -> io::Result<()> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        for (piece, is_kept) in self.extents.pieces(0..self.len) {
            let at = base.wrapping_add(piece.start);
            if !is_kept {
                open(at, piece.len())?;
                continue;
            }
            let (fd, offset) = (self.file.as_raw_fd(), piece.start as libc::off_t);
            // SAFETY: by the caller's promise; private, so that what is written stays with the mapping.
            let mapped = unsafe { libc::mmap(at.cast(), piece.len(), protection, flags, fd, offset) };
            if mapped == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.slots.forget(self.id);
        // SAFETY: made by `new`, and no slice of it outlives `self`.
        let unmapped = checked(unsafe { libc::munmap(self.pages.as_ptr().cast(), self.len.max(1)) });
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
