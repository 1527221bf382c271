//! A table whose keys outlive their rows: a key of a removed row finds nothing, even when the row's place has
//! been given to another since. Every operation is O(1).

/// Names a row: its place, and how many rows have had the place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) version: u32,
}

#[derive(Debug)]
pub(super) struct Table<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    version: u32,
    row: Option<T>,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Table { places: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, row: T) -> Key {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.row = Some(row);
            return Key { index, version: place.version };
        }
        let index =
            u32::try_from(self.places.len()).expect("four thousand million rows do not fit in memory");
        self.places.push(Place { version: 0, row: Some(row) });
        Key { index, version: 0 }
    }

    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        if place.version == key.version { place.row.as_ref() } else { None }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.version == key.version { place.row.as_mut() } else { None }
    }

    /// The row at a place that is known to be taken.
    #[inline]
    pub(super) fn peek(&self, index: u32) -> &T {
        self.places[index as usize].row.as_ref().expect("the caller holds the index of a row that exists")
    }

    /// The row at a place that is known to be taken, to change it.
    #[inline]
    pub(super) fn at(&mut self, index: u32) -> &mut T {
        self.places[index as usize].row.as_mut().expect("the caller holds the index of a row that exists")
    }

    /// The key of the row at a place.
    #[inline]
    pub(super) fn key_at(&self, index: u32) -> Key {
        Key { index, version: self.places[index as usize].version }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.version != key.version {
            return None;
        }
        let row = place.row.take()?;
        place.version = place.version.wrapping_add(1);
        self.free.push(key.index);
        Some(row)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.row.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_does_not_find_the_next_row_in_its_place() {
        let mut table = Table::new();
        let old = table.insert("old");
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert("new");
        assert_eq!((old.index, table.len()), (new.index, 1));
        assert_eq!((table.get(old), table.get(new)), (None, Some(&"new")));
        assert_eq!(table.remove(old), None);
    }
}
