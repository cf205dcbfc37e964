//! Control data in deb822 form (deb822(5)).
