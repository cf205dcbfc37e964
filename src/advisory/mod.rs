//! Package upgrades to the vulnerabilities that they fix: change logs of the packages, and OSV data.
