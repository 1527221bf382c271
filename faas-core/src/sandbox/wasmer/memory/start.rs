//! What one instance begins as: zeros and the module's data, or a function's image.

use std::{
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use wasmer::{
    GlobalType, MemoryType, Mutability,
    sys::vm::{MemoryError, MemoryStyle, VMGlobalDefinition, VMMemory, VMMemoryDefinition},
};

use super::{
    super::interrupt::MemoryAt,
    extents::Extents,
    faults::Visitors,
    image::Image,
    linear::SlotMemory,
    seeds::{InitReads, NotRestorable, Seeds},
    slots::Slots,
    touched,
};

/// See the module. One for each instance; it lives in the instance's store, and with the instance's owner.
#[derive(Debug)]
pub(in super::super) struct Start {
    slots: Arc<Slots>,
    image: Option<Arc<Image>>,
    visitors: Arc<Visitors>,
    /// Told before any of the guest's code runs, its start function included.
    memory_at: MemoryAt,
    globals: Mutex<Vec<Global>>,
    refusal: OnceLock<String>,
}

/// Where compiled code keeps a global that it may change.
#[derive(Debug, Clone, Copy)]
struct Global(NonNull<VMGlobalDefinition>);

// SAFETY: an address; it is used only under the promise of the unsafe methods of `Start`.
unsafe impl Send for Global {}

impl Start {
    pub(in super::super) fn new(slots: Arc<Slots>, image: Option<Arc<Image>>, memory_at: MemoryAt) -> Self {
        Start {
            slots,
            image,
            visitors: Arc::default(),
            memory_at,
            globals: Mutex::default(),
            refusal: OnceLock::new(),
        }
    }

    /// The image that the instance began as, and can go back to.
    pub(in super::super) fn image(&self) -> Option<&Arc<Image>> {
        self.image.as_ref()
    }

    /// Why the instance got no memory, if the operating system refused it.
    pub(in super::super) fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// To be called by each thread before it writes to the instance's memory, or lets the guest run.
    pub(in super::super) fn enter(&self) {
        self.visitors.enter();
    }

    /// The instance's memory.
    ///
    /// # Safety
    /// `definition` must be a place in the instance that will own the memory.
    pub(in super::super) unsafe fn memory(
        &self,
        ty: MemoryType,
        style: MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        if style != MemoryStyle::Static {
            return Err(MemoryError::Generic(
                "its code would check its own bounds, and could move it".into(),
            ));
        }
        // SAFETY: wasmer keeps a memory no longer than the instance whose definition it was given.
        let memory = unsafe {
            SlotMemory::new(&self.slots, self.image.clone(), self.visitors.clone(), ty, definition)
        };
        let memory = memory.map_err(|why| {
            let why = why.to_string();
            let _ = self.refusal.set(why.clone()); // an instance has one memory
            MemoryError::Region(why)
        })?;
        self.memory_at.tell(memory.base());
        Ok(VMMemory(Box::new(memory)))
    }

    /// Learns of a global of the instance.
    pub(in super::super) fn learn_global(&self, ty: GlobalType, definition: NonNull<VMGlobalDefinition>) {
        if ty.mutability == Mutability::Var {
            self.globals.lock().push(Global(definition));
        }
    }

    /// Puts the instance's globals back to what the image holds. Without an image nothing happens.
    ///
    /// # Safety
    /// The instance's store must be alive, and the guest not running.
    pub(in super::super) unsafe fn restore_globals(&self) {
        let Some(image) = &self.image else { return };
        for (global, value) in self.globals.lock().iter().zip(&image.globals) {
            // SAFETY: the definition lies in the instance, which is alive and idle by the caller's promise. Its type
            // is the saved value's: wasmer makes the globals of a module in the same order each time.
            unsafe { global.0.write(value.clone()) };
        }
    }

    /// Whether `memory`, the instance's, and its globals are what the image holds.
    ///
    /// # Safety
    /// As for [`Start::restore_globals`].
    pub(in super::super) unsafe fn is_as_imaged(&self, memory: &[u8]) -> bool {
        // SAFETY: by the caller's promise.
        let globals = unsafe { self.globals() };
        // SAFETY: the union's bytes are all initialised, as wasmer makes it of zeros and writes values over them.
        let bits = |global: &VMGlobalDefinition| unsafe { global.val.bytes };
        self.image.as_ref().is_some_and(|image| {
            image.is(memory) && image.globals.iter().map(bits).eq(globals.iter().map(bits))
        })
    }

    /// The values of the instance's globals now.
    ///
    /// # Safety
    /// As for [`Start::restore_globals`].
    unsafe fn globals(&self) -> Vec<VMGlobalDefinition> {
        // SAFETY: by the caller's promise.
        self.globals.lock().iter().map(|global| unsafe { global.0.as_ref().clone() }).collect()
    }

    /// An image of the instance as it is now, with `memory` as its memory, after an init that read `reads`. The instance
    /// must have begun as none itself.
    ///
    /// # Safety
    /// As for [`Start::restore_globals`].
    pub(in super::super) unsafe fn take_image(
        &self,
        memory: &[u8],
        reads: &InitReads,
    ) -> Result<Image, NotRestorable> {
        let touched = touched::runs(memory);
        let seeds = Seeds::find(memory, &touched, reads)?;
        // SAFETY: by the caller's promise.
        let globals = unsafe { self.globals() };
        Image::new(&self.slots, memory, Extents::of(memory, &touched)?, globals, seeds)
            .map_err(|why| NotRestorable::System(why.to_string()))
    }
}
