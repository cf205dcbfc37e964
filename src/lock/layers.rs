//! Plans which source packages share a layer: the largest get a layer each, and keep it.

use std::collections::BTreeMap;

/// Stands for all source packages that no other layer names, and for all that does not come from packages.
pub const REST: &str = "*";

/// Plans the layers of a level: at most `budget`, the last one is [`REST`].
///
/// `sizes` is the installed size of each source package, in any unit. Layers of the previous plan stay as long as one
/// of their source packages is left, so that a growing package does not move others. New layers only fill free places.
#[must_use]
pub fn plan(sizes: &BTreeMap<String, u64>, budget: usize, previous: &[Vec<String>]) -> Vec<Vec<String>> {
    // one layer is for the rest, whatever the budget
    let alone = budget.max(1) - 1;

    // a package that moves to another layer changes two layers, and everybody has to pull both again
    let mut layers: Vec<Vec<String>> = Vec::new();
    for layer in previous {
        let left: Vec<String> = layer.iter().filter(|source| sizes.contains_key(*source)).cloned().collect();
        if !left.is_empty() && layers.len() < alone {
            layers.push(left);
        }
    }

    // by name among equals, so that the plan does not depend on the order of anything
    let mut free: Vec<(&String, &u64)> =
        sizes.iter().filter(|(name, _)| !layers.iter().flatten().any(|s| s == *name)).collect();
    free.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));

    let places = alone - layers.len();
    layers.extend(free.into_iter().take(places).map(|(source, _)| vec![source.clone()]));
    layers.push(vec![REST.to_owned()]);
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
    }

    fn text(layers: &[Vec<String>]) -> String {
        layers.iter().map(|layer| layer.join("+")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn takes_the_largest() {
        let four = sizes(&[("a", 1), ("b", 5), ("c", 9), ("d", 5)]);
        for (budget, expected) in [(0, "*"), (1, "*"), (2, "c *"), (3, "c b *"), (4, "c b d *"), (9, "c b d a *")] {
            assert_eq!(text(&plan(&four, budget, &[])), expected);
        }
        assert_eq!(text(&plan(&sizes(&[]), 3, &[])), "*");
    }

    #[test]
    fn stays_where_it_was() {
        let old = plan(&sizes(&[("a", 1), ("b", 5), ("c", 9)]), 3, &[]);
        assert_eq!(text(&old), "c b *");
        // a outgrows both, b shrinks: nothing moves
        assert_eq!(text(&plan(&sizes(&[("a", 100), ("b", 1), ("c", 9)]), 3, &old)), "c b *");
        // c is gone: its place goes to the largest of the rest
        assert_eq!(text(&plan(&sizes(&[("a", 1), ("b", 5), ("d", 2)]), 3, &old)), "b d *");
        // a larger and a smaller budget
        assert_eq!(text(&plan(&sizes(&[("a", 1), ("b", 5), ("c", 9)]), 4, &old)), "c b a *");
        assert_eq!(text(&plan(&sizes(&[("a", 1), ("b", 5), ("c", 9)]), 2, &old)), "c *");
    }
}
