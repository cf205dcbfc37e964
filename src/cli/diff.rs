//! `sockel diff`
