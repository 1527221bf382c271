//! Doubly linked lists through the rows of a table: O(1) at both ends and in the middle, without allocation.
//!
//! A row can be in one list of each [`Lane`] at a time. The lists order instances by when they were last used:
//! the front is the most recent.

/// Which of a row's links a list uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Lists of one function's instances.
    Function = 0,
    /// The list of all idle instances on the host.
    Host = 1,
}

const NIL: u32 = u32::MAX;

/// A row's neighbours, in each lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links([(u32, u32); 2]);

impl Links {
    pub(super) const NONE: Links = Links([(NIL, NIL); 2]);
}

/// Where the links are kept.
pub(super) trait Linked {
    fn links(&mut self, index: u32) -> &mut Links;
}

#[derive(Debug)]
pub(super) struct List {
    lane: Lane,
    front: u32,
    back: u32,
    len: usize,
}

impl List {
    pub(super) const fn new(lane: Lane) -> Self {
        List { lane, front: NIL, back: NIL, len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn front(&self) -> Option<u32> {
        (self.front != NIL).then_some(self.front)
    }

    #[inline]
    pub(super) fn back(&self) -> Option<u32> {
        (self.back != NIL).then_some(self.back)
    }

    /// Puts a row that is in no list of this lane before all others.
    #[inline]
    pub(super) fn push_front(&mut self, rows: &mut impl Linked, index: u32) {
        let lane = self.lane as usize;
        rows.links(index).0[lane] = (NIL, self.front);
        match self.front {
            NIL => self.back = index,
            front => rows.links(front).0[lane].0 = index,
        }
        self.front = index;
        self.len += 1;
    }

    /// Takes out a row that is in this list.
    #[inline]
    pub(super) fn remove(&mut self, rows: &mut impl Linked, index: u32) {
        let lane = self.lane as usize;
        let (prev, next) = std::mem::replace(&mut rows.links(index).0[lane], (NIL, NIL));
        match prev {
            NIL => self.front = next,
            prev => rows.links(prev).0[lane].1 = next,
        }
        match next {
            NIL => self.back = prev,
            next => rows.links(next).0[lane].0 = prev,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Vec<Links> {
        fn links(&mut self, index: u32) -> &mut Links {
            &mut self[index as usize]
        }
    }

    #[test]
    fn rows_leave_from_the_front_the_middle_and_the_back() {
        let mut rows = vec![Links::NONE; 4];
        let mut list = List::new(Lane::Host);
        (0..4).for_each(|row| list.push_front(&mut rows, row));
        assert_eq!((list.front(), list.back(), list.len()), (Some(3), Some(0), 4));
        list.remove(&mut rows, 2);
        list.remove(&mut rows, 3);
        assert_eq!((list.front(), list.back()), (Some(1), Some(0)));
        list.remove(&mut rows, 0);
        assert_eq!((list.front(), list.back()), (Some(1), Some(1)));
        list.remove(&mut rows, 1);
        assert_eq!((list.front(), list.back(), list.len()), (None, None, 0));
    }
}
