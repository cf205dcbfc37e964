//! A configured archive pocket at one point in time: open, verify, look up, download.
