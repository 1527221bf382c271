//! Stands in for [`start`](super) where memory cannot be mapped as an image needs it: every start is plain.

use std::{convert::Infallible, ptr::NonNull, sync::Arc};

use wasmer::{
    GlobalType, MemoryType,
    sys::{
        BaseTunables, Tunables as _,
        vm::{MemoryError, MemoryStyle, VMGlobalDefinition, VMMemory, VMMemoryDefinition},
    },
};

use super::super::interrupt::MemoryAt;
use super::seeds::{InitReads, NotRestorable, Seeds};

/// Nothing: each memory finds a place of its own.
#[derive(Debug, Default)]
pub(in super::super) struct Slots;

/// There is none.
#[derive(Debug)]
pub(in super::super) struct Image {
    pub(in super::super) seeds: Seeds,
    never: Infallible,
}

/// What every instance begins as.
#[derive(Debug)]
pub(in super::super) struct Start(MemoryAt);

impl Start {
    pub(in super::super) fn new(_: Arc<Slots>, _: Option<Arc<Image>>, memory_at: MemoryAt) -> Self {
        Start(memory_at)
    }

    pub(in super::super) fn image(&self) -> Option<&Arc<Image>> {
        None
    }

    pub(in super::super) fn refusal(&self) -> Option<&str> {
        None
    }

    pub(in super::super) fn enter(&self) {}

    /// # Safety
    /// `definition` must be a place in the instance that will own the memory.
    pub(in super::super) unsafe fn memory(
        &self,
        ty: MemoryType,
        style: MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        // SAFETY: by the caller's promise.
        let memory = unsafe { BaseTunables::new().create_vm_memory(&ty, &style, definition)? };
        // SAFETY: as above, and written by who has made the memory.
        self.0.tell(unsafe { definition.as_ref() }.base);
        Ok(memory)
    }

    pub(in super::super) fn learn_global(&self, _: GlobalType, _: NonNull<VMGlobalDefinition>) {}

    /// # Safety
    /// None: nothing happens.
    pub(in super::super) unsafe fn restore_globals(&self) {}

    /// # Safety
    /// None: there is none to compare with.
    pub(in super::super) unsafe fn is_as_imaged(&self, _: &[u8]) -> bool {
        false
    }

    /// # Safety
    /// None: nobody is looked at.
    pub(in super::super) unsafe fn take_image(
        &self,
        _: &[u8],
        _: &InitReads,
    ) -> Result<Image, NotRestorable> {
        Err(NotRestorable::System("snapshots need Linux".into()))
    }
}
