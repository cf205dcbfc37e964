//! The .deb container: an ar archive with control and data members (deb(5)).
