//! Whatever a guest writes, and however it grows: back at the image, a memory is the image.

use std::{ptr::NonNull, sync::Arc};

use proptest::prelude::*;
use wasmer::{
    MemoryType, Pages, WASM_PAGE_SIZE,
    sys::vm::{LinearMemory as _, VMMemoryDefinition},
};

use super::{
    extents::Extents, faults::Visitors, image::Image, linear::SlotMemory, seeds::Seeds, slots::Slots, touched,
};

const IMAGE_PAGES: u32 = 40;
/// In two parts: what is written in the middle is anonymous.
const APART_PAGES: u32 = 80;
const MAX_PAGES: u32 = 88;

/// A memory, and the place outside it that says where it is.
struct Instance {
    memory: SlotMemory,
    definition: Box<VMMemoryDefinition>,
    visitors: Arc<Visitors>,
}

impl Instance {
    fn start(slots: &Arc<Slots>, image: Option<&Arc<Image>>) -> Self {
        Self::with_pages(slots, image, 1, MAX_PAGES)
    }

    fn with_pages(slots: &Arc<Slots>, image: Option<&Arc<Image>>, minimum: u32, maximum: u32) -> Self {
        Self::try_start(slots, image, minimum, maximum).expect("a slot")
    }

    fn try_start(
        slots: &Arc<Slots>,
        image: Option<&Arc<Image>>,
        minimum: u32,
        maximum: u32,
    ) -> std::io::Result<Self> {
        let mut definition = Box::new(VMMemoryDefinition { base: std::ptr::null_mut(), current_length: 0 });
        let ty = MemoryType { minimum: Pages(minimum), maximum: Some(Pages(maximum)), shared: false };
        let at = NonNull::from(&mut *definition);
        let visitors = Arc::<Visitors>::default();
        // SAFETY: the definition is boxed, and is dropped after the memory.
        let memory = unsafe { SlotMemory::new(slots, image.cloned(), visitors.clone(), ty, at)? };
        Ok(Instance { memory, definition, visitors })
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.visitors.enter();
        let VMMemoryDefinition { base, current_length } = *self.definition;
        // SAFETY: the memory says that so many bytes are there, and `&mut self` is the only way to it.
        unsafe { std::slice::from_raw_parts_mut(base, current_length) }
    }
}

fn image_of(slots: &Arc<Slots>, memory: &[u8]) -> Image {
    let extents = Extents::of(memory, &touched::runs(memory)).expect("its parts are near");
    Image::new(slots, memory, extents, Vec::new(), Seeds::default()).expect("a memfd")
}

/// With zeros in the middle, which are kept or not.
fn image(slots: &Arc<Slots>, pages: u32) -> Arc<Image> {
    let mut memory = vec![0; pages as usize * WASM_PAGE_SIZE];
    let (beginning, end) = (1 << 20, memory.len() - (1 << 20));
    for (i, byte) in
        memory.iter_mut().enumerate().step_by(5000).filter(|(i, _)| !(beginning..end).contains(i))
    {
        *byte = (i % 251) as u8;
    }
    Arc::new(image_of(slots, &memory))
}

#[derive(Debug, Clone)]
enum Act {
    Write(usize, u8),
    /// Many pages, so that they are dropped instead of copied back.
    WriteMuch(usize, u8),
    Grow(u32),
    Reset,
    /// A write on another thread.
    WriteElsewhere(usize, u8),
    Replace,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Act::Write(at, byte)),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Act::WriteMuch(at, byte)),
        2 => (0..6u32).prop_map(Act::Grow),
        2 => Just(Act::Reset),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Act::WriteElsewhere(at, byte)),
        1 => Just(Act::Replace),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_memory_that_is_reset_is_its_image(
        is_apart in any::<bool>(),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let slots = Arc::new(Slots::with_max(2));
        let image = image(&slots, if is_apart { APART_PAGES } else { IMAGE_PAGES });
        let mut instance = Instance::start(&slots, Some(&image));
        for act in acts {
            match act {
                Act::Write(at, byte) => {
                    let bytes = instance.bytes();
                    bytes[at % bytes.len()] = byte;
                }
                Act::WriteMuch(at, byte) => {
                    let bytes = instance.bytes();
                    let quarter = bytes.len() / 4;
                    bytes[at % quarter..][..3 * quarter].fill(byte);
                }
                Act::Grow(pages) => {
                    let before = instance.memory.size();
                    let grown = instance.memory.grow(Pages(pages));
                    prop_assert_eq!(grown.is_ok(), before.0 + pages <= MAX_PAGES);
                    let bytes = instance.bytes();
                    if grown.is_ok() && pages > 0 {
                        prop_assert!(bytes[before.bytes().0..].iter().all(|byte| *byte == 0), "new pages are zero");
                        bytes[before.bytes().0] = 1;
                    }
                }
                Act::WriteElsewhere(at, byte) => {
                    std::thread::scope(|scope| {
                        scope.spawn(|| {
                            let bytes = instance.bytes();
                            bytes[at % bytes.len()] = byte;
                        });
                    });
                }
                Act::Reset => {
                    instance.memory.reset().expect("resets");
                    prop_assert!(image.is(instance.bytes()));
                }
                Act::Replace => {
                    drop(instance);
                    instance = Instance::start(&slots, Some(&image));
                    prop_assert!(image.is(instance.bytes()), "whoever comes next finds the image");
                }
            }
        }
        drop(instance);
        prop_assert_eq!(slots.counts(), (1, 1), "the slot came back each time");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_image_is_the_memory_that_it_was_taken_of(
        writes in prop::collection::vec((any::<usize>(), any::<u8>(), 1..70_000usize), 0..20),
    ) {
        let slots = Arc::new(Slots::with_max(1));
        let mut instance = Instance::with_pages(&slots, None, MAX_PAGES, MAX_PAGES);
        let bytes = instance.bytes();
        for (at, byte, len) in writes {
            let at = at % bytes.len();
            let end = bytes.len().min(at + len);
            bytes[at..end].fill(byte);
        }
        prop_assert!(image_of(&slots, bytes).is(bytes));
        prop_assert!(image_of(&slots, &bytes[1..]).is(&bytes[1..]), "also where the kernel cannot be asked");
    }
}

#[test]
fn what_a_guest_has_and_does_not_use_is_not_looked_at_for_its_image() {
    // 4 GiB, as much as there can be, and four bytes in three places of it
    let slots = Arc::new(Slots::with_max(2));
    let mut instance = Instance::with_pages(&slots, None, 1 << 16, 1 << 16);
    let bytes = instance.bytes();
    let ends = [0, (1 << 31) - 1, 1 << 31, bytes.len() - 1];
    ends.iter().for_each(|at| bytes[*at] = 7);
    let before = touched::runs(bytes);
    let touched: usize = before.iter().map(ExactSizeIterator::len).sum();
    assert!(touched <= 3 * (2 << 20), "{touched} bytes are there: huge pages at the most");
    let image = Arc::new(image_of(&slots, bytes));
    assert_eq!(touched::runs(bytes), before, "nothing has come by being read");
    let mut copy = Instance::start(&slots, Some(&image));
    let bytes = copy.bytes();
    assert_eq!(bytes.len(), image.len());
    for at in ends {
        assert_eq!(bytes[at], 7);
    }
    let taken = image.taken_bytes().expect("a file has a size");
    assert!(taken <= touched as u64, "the image takes {taken} bytes");
}

#[test]
fn what_copies_touch_beyond_what_init_wrote_is_not_kept_for_them() {
    const PAGES: u32 = 64 << 4;
    let slots = Arc::new(Slots::with_max(1));
    let mut memory = vec![0; PAGES as usize * WASM_PAGE_SIZE];
    memory[10 << 20] = 7;
    let image = Arc::new(image_of(&slots, &memory));
    let before = image.taken_bytes().expect("a file has a size");
    for fill in [0, 1, 2] {
        let mut copy = Instance::start(&slots, Some(&image));
        if fill == 0 {
            assert!(image.is(copy.bytes()), "all of it is read");
        }
        copy.bytes()[1 << 20..63 << 20].fill(fill);
        copy.memory.reset().expect("resets");
        assert!(image.is(copy.bytes()));
        // few enough to be copied back
        copy.bytes()[20 << 20] = fill;
        copy.memory.reset().expect("resets");
        assert!(image.is(copy.bytes()));
    }
    let kept = image.taken_bytes().expect("a file has a size") - before;
    assert!(kept < 5 << 20, "{kept} bytes more are kept");
}

#[test]
fn a_start_that_the_system_refuses_takes_no_slot() {
    let slots = Arc::new(Slots::with_max(1));
    let broken = Arc::new(image_of(&slots, &[7; WASM_PAGE_SIZE]).broken().expect("a file"));
    for _ in 0..3 {
        assert!(Instance::try_start(&slots, Some(&broken), 1, MAX_PAGES).is_err());
        assert_eq!(slots.counts(), (1, 1));
    }
    assert!(Instance::start(&slots, None).bytes().iter().all(|byte| *byte == 0));
}

#[test]
fn a_memory_of_no_pages_has_an_image() {
    let slots = Arc::new(Slots::with_max(1));
    let image = Arc::new(image_of(&slots, &[]));
    let mut copy = Instance::with_pages(&slots, Some(&image), 0, MAX_PAGES);
    for _ in 0..2 {
        assert!(copy.bytes().is_empty());
        copy.memory.grow(Pages(1)).expect("room");
        assert!(copy.bytes().iter().all(|byte| *byte == 0));
        copy.bytes().fill(7);
        copy.memory.reset().expect("resets");
    }
}

#[test]
fn a_slot_forgets_one_function_before_it_serves_another() {
    let slots = Arc::new(Slots::with_max(1));
    let one = image(&slots, IMAGE_PAGES);
    let mut instance = Instance::start(&slots, Some(&one));
    instance.memory.grow(Pages(1)).expect("room");
    instance.bytes().fill(7);
    drop(instance);
    let mut plain = Instance::start(&slots, None);
    assert_eq!(plain.bytes().len(), WASM_PAGE_SIZE);
    assert!(plain.bytes().iter().all(|byte| *byte == 0));
    plain.memory.grow(Pages(MAX_PAGES - 1)).expect("room");
    assert!(plain.bytes().iter().all(|byte| *byte == 0));
    plain.bytes().fill(8);
    assert!(plain.memory.reset().is_err(), "it has nothing to go back to");
    drop(plain);
    assert!(one.is(Instance::start(&slots, Some(&one)).bytes()));
}
