//! Options of the group.

crate::options! {
}
