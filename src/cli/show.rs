//! `sockel show`
