//! Functions that belong together, and what the policy is told of them.
//!
//! An app is the unit in which some keep-alive policies think. The pool counts what is under way in each, so that a policy can
//! know when one comes to rest.

use std::{collections::HashMap, sync::Arc};

use super::{
    FunctionId, Pool,
    state::Function,
    table::{Key, Table},
};
use crate::{
    clock::Time,
    policy::{Event, Subject},
};

#[derive(Debug)]
pub(super) struct App {
    name: Arc<str>,
    pub(super) functions: Vec<FunctionId>,
    /// Invocations of its functions that run or wait.
    pub(super) active: usize,
}

/// The apps of the functions that exist.
#[derive(Debug)]
pub(super) struct Apps {
    names: HashMap<Arc<str>, Key>,
    rows: Table<App>,
}

impl Default for Apps {
    fn default() -> Self {
        Apps { names: HashMap::new(), rows: Table::new() }
    }
}

impl Apps {
    /// The app of that name, a new one if there is none; [`Apps::enter`] must follow.
    pub(super) fn named(&mut self, name: &Arc<str>) -> u32 {
        if let Some(key) = self.names.get(name) {
            return key.index;
        }
        let key = self.rows.insert(App { name: name.clone(), functions: Vec::new(), active: 0 });
        self.names.insert(name.clone(), key);
        key.index
    }

    pub(super) fn enter(&mut self, app: u32, function: FunctionId) {
        self.rows.at(app).functions.push(function);
    }

    #[inline]
    pub(super) fn at(&self, app: u32) -> &App {
        self.rows.peek(app)
    }

    /// Whether the app has one function alone.
    pub(super) fn is_last(&self, app: u32) -> bool {
        self.at(app).functions.len() == 1
    }

    fn leave(&mut self, app: u32, function: FunctionId) {
        let row = self.rows.at(app);
        row.functions.retain(|other| *other != function);
        if row.functions.is_empty() {
            let name = row.name.clone();
            self.names.remove(&name);
            self.rows.remove(self.rows.key_at(app));
        }
    }
}

/// A function as the policy sees it.
#[inline]
pub(super) fn subject<'a>(apps: &Apps, id: FunctionId, f: &'a Function) -> Subject<'a> {
    Subject { spec: &f.spec, index: id.index(), app: f.app as usize, active: apps.at(f.app).active }
}

impl Pool {
    #[inline]
    pub(super) fn learn(&mut self, now: Time, function: FunctionId, event: Event) {
        let f = self.functions.peek(function.0.index);
        self.policy.learn(now, subject(&self.apps, function, f), event);
    }

    /// Something of this function is under way.
    #[inline]
    pub(super) fn count_in(&mut self, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        f.active += 1;
        self.apps.rows.at(f.app).active += 1;
    }

    /// And no more.
    #[inline]
    pub(super) fn count_out(&mut self, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        f.active -= 1;
        self.apps.rows.at(f.app).active -= 1;
    }

    /// Moves a function to the app that its newest generation names.
    pub(super) fn change_app(&mut self, now: Time, function: FunctionId) {
        let f = self.functions.peek(function.0.index);
        let (old, active) = (f.app, f.active);
        if self.apps.at(old).name == *f.spec.app() {
            return;
        }
        let is_last_of_app = self.apps.is_last(old);
        self.learn(now, function, Event::Retired { is_last_of_app });
        let new = self.apps.named(self.functions.peek(function.0.index).spec.app());
        self.apps.rows.at(old).active -= active;
        self.apps.leave(old, function);
        self.apps.enter(new, function);
        self.apps.rows.at(new).active += active;
        self.functions.at(function.0.index).app = new;
    }

    pub(super) fn leave_app(&mut self, function: FunctionId) {
        let app = self.functions.peek(function.0.index).app;
        self.apps.leave(app, function);
    }
}
