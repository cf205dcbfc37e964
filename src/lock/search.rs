//! Finds a small set of packages that stay at their locked versions, so that everything else can be taken.

use crate::lock::Error;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most choices that are tried for one level: each takes milliseconds, and halving needs few of them.
const MOST_TRIES: usize = 400;

/// Most times that all packages are tried again: each round releases what the one before made possible.
const MOST_ROUNDS: usize = 3;

/// A search for packages that stay.
pub(super) struct KeptSearch<'s> {
    /// Every package that has a locked version, with its source package.
    pub(super) sources: &'s BTreeMap<String, String>,
    /// Names that the newest version of a package relates to.
    pub(super) needs: &'s dyn Fn(&str) -> Result<BTreeSet<String>, Error>,
    /// Tells whether there is a choice of packages while these keep their locked versions.
    pub(super) has_choice: &'s mut dyn FnMut(&BTreeSet<String>) -> Result<bool, Error>,
    tries: usize,
}

impl<'s> KeptSearch<'s> {
    pub(super) fn new(
        sources: &'s BTreeMap<String, String>,
        needs: &'s dyn Fn(&str) -> Result<BTreeSet<String>, Error>,
        has_choice: &'s mut dyn FnMut(&BTreeSet<String>) -> Result<bool, Error>,
    ) -> Self {
        Self { sources, needs, has_choice, tries: 0 }
    }

    /// Returns packages that stay, among them those of `must` that have a locked version; none when there is no choice
    /// even where all stay.
    ///
    /// First those alone, then together with all packages of their sources, which often need each other's very version.
    /// Else all packages stay, and are released source by source, in the order of their names, as long as there is a
    /// choice.
    pub(super) fn smallest(&mut self, must: &BTreeSet<String>) -> Result<Option<BTreeSet<String>>, Error> {
        let must: BTreeSet<String> = must.iter().filter(|name| self.sources.contains_key(*name)).cloned().collect();
        if !must.is_empty() && self.works(&must)? {
            return Ok(Some(must));
        }
        let sources: BTreeSet<&String> = must.iter().filter_map(|name| self.sources.get(name)).collect();
        let siblings: BTreeSet<String> =
            self.sources.iter().filter(|(_, source)| sources.contains(source)).map(|(name, _)| name.clone()).collect();
        if siblings != must && self.works(&siblings)? {
            return Ok(Some(siblings));
        }

        let mut kept: BTreeSet<String> = self.sources.keys().cloned().collect();
        if !self.works(&kept)? {
            return Ok(None);
        }
        for _ in 0..MOST_ROUNDS {
            let before = kept.len();
            let groups: Vec<BTreeSet<String>> = self.groups(&kept, &must).into_values().collect();
            self.release(&mut kept, &groups)?;
            self.release_together(&mut kept, &must)?;
            if kept.len() == before {
                break;
            }
        }
        Ok(Some(kept))
    }

    /// Returns the packages that may be released, by source.
    fn groups(&self, kept: &BTreeSet<String>, must: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in kept.difference(must) {
            groups.entry(self.sources[name].clone()).or_default().insert(name.clone());
        }
        groups
    }

    /// Releases groups: all at once if that is possible, else half by half.
    fn release(&mut self, kept: &mut BTreeSet<String>, groups: &[BTreeSet<String>]) -> Result<(), Error> {
        if groups.is_empty() {
            return Ok(());
        }
        let fewer: BTreeSet<String> =
            kept.iter().filter(|name| !groups.iter().any(|group| group.contains(*name))).cloned().collect();
        if self.works(&fewer)? {
            *kept = fewer;
            return Ok(());
        }
        if groups.len() > 1 {
            let (first, second) = groups.split_at(groups.len() / 2);
            self.release(kept, first)?;
            self.release(kept, second)?;
        }
        Ok(())
    }

    /// Releases sources together with what their newest versions need, since some can only be taken together.
    fn release_together(&mut self, kept: &mut BTreeSet<String>, must: &BTreeSet<String>) -> Result<(), Error> {
        for source in self.groups(kept, must).into_keys() {
            let groups = self.groups(kept, must);
            let mut wanted = BTreeSet::from([source]);
            let mut open: Vec<String> = wanted.iter().cloned().collect();
            while let Some(source) = open.pop() {
                for name in groups.get(&source).into_iter().flatten() {
                    let needed = (self.needs)(name)?;
                    let more =
                        needed.iter().filter(|name| kept.contains(*name)).filter_map(|name| self.sources.get(name));
                    for source in more {
                        if groups.contains_key(source) && wanted.insert(source.clone()) {
                            open.push(source.clone());
                        }
                    }
                }
            }
            let together: BTreeSet<String> =
                wanted.iter().filter_map(|source| groups.get(source)).flatten().cloned().collect();
            self.release(kept, &[together])?;
        }
        Ok(())
    }

    /// Tells whether there is a choice; after many tries the answer is no, which keeps more packages than needed.
    fn works(&mut self, kept: &BTreeSet<String>) -> Result<bool, Error> {
        self.tries += 1;
        if self.tries > MOST_TRIES { Ok(false) } else { (self.has_choice)(kept) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches among packages of sources named by their first letter. `groups` are packages of which either all or none
    /// may stay; those of `bad` must stay.
    fn smallest(names: &str, bad: &str, together: &[&str], needs: &[(&str, &str)]) -> String {
        let set = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<String>>();
        let sources = set(names).into_iter().map(|name| (name.clone(), name[..1].to_owned())).collect();
        let groups: Vec<BTreeSet<String>> = together.iter().map(|group| set(group)).collect();
        let needs = |name: &str| {
            Ok(needs.iter().filter(|(from, _)| *from == name).flat_map(|(_, to)| set(to)).collect::<BTreeSet<_>>())
        };
        let mut works = |kept: &BTreeSet<String>| {
            let whole = |group: &BTreeSet<String>| group.is_subset(kept) || group.is_disjoint(kept);
            Ok(set(bad).is_subset(kept) && groups.iter().all(whole))
        };
        let found = KeptSearch::new(&sources, &needs, &mut works).smallest(&BTreeSet::new()).unwrap();
        found.map_or("none".to_owned(), |kept| kept.into_iter().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn keeps_no_more_than_needed() {
        let all = "a1 a2 b1 c1 d1 e1 f1";
        assert_eq!(smallest(all, "c1", &[], &[]), "c1");
        assert_eq!(smallest(all, "a1", &[], &[]), "a1 a2");
        assert_eq!(smallest(all, "c1", &["c1 f1"], &[]), "c1 f1");
        assert_eq!(smallest(all, "z1", &[], &[]), "none");
        // neither of the two can be taken without the other
        assert_eq!(smallest(all, "c1", &["b1 f1"], &[("b1", "f1")]), "c1");
    }
}
