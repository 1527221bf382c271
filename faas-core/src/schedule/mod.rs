//! When the clock calls a function: `#[function(schedule = "*/5 * * * *")]`, in UTC.
//!
//! ```text
//! expression   Schedule: five fields of cron; when next after this?     civil     days, months, leap years
//! firings      Firings: which functions fire now, when next
//! ```
//!
//! Pure: nothing here sleeps, and `now` is an argument. Who fires is somebody else; a firing becomes an event of
//! [`delivery`](crate::delivery) like any other.
//!
//! The evaluator is our own because the grammar is: `faas-macros` has checked it before. Crates that do this bring time
//! zones, seconds, years and their calendar libraries, some twenty crates where a hundred lines do.

mod civil;
mod expression;
mod firings;

pub use civil::rfc3339;
pub use expression::{Schedule, ScheduleError};
pub use firings::{Firing, Firings, LATE};
