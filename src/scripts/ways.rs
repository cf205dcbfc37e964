//! Ways through a script: `if`, `case` and loops. Where it is not known which way is taken, all of them are walked.

use crate::scripts::commands;
use crate::scripts::pattern::PatternMatch;
use crate::scripts::pattern::compare;
use crate::scripts::scope::ShellScope;
use crate::scripts::shell::ShellArm;
use crate::scripts::shell::ShellList;
use crate::scripts::shell::ShellWord;
use crate::scripts::value::ScriptValue;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;
use crate::scripts::walk::ShellOutcome::False;
use crate::scripts::walk::ShellOutcome::Leaves;
use crate::scripts::walk::ShellOutcome::True;
use std::collections::BTreeSet;

/// Most rounds of a loop that are walked one by one.
const MOST_ROUNDS: usize = 512;

impl ScriptWalk {
    pub(crate) fn conditional(
        &mut self,
        branches: &[(ShellList, ShellList)],
        otherwise: Option<&ShellList>,
    ) -> ShellOutcome {
        let mut after = None;
        let mut is_open = true;
        for (condition, body) in branches {
            if self.is_spent() {
                return self.give_up_rest();
            }
            let outcome = self.condition(|walk| walk.list(condition));
            if outcome == False {
                continue;
            }
            is_open = outcome == Either;
            if outcome == Leaves {
                break;
            }

            let here = is_open.then(|| self.snapshot());
            let outcome = self.list(body);
            after = self.merged(after, outcome);
            let Some(here) = here else { break };
            self.scope = here;
        }

        if is_open {
            let outcome = otherwise.map_or(True, |list| self.list(list));
            after = self.merged(after, outcome);
        }
        self.resume(after)
    }

    /// Goes on with what holds after several ways; with none, what follows is not reached.
    fn resume(&mut self, after: Option<(ShellScope, ShellOutcome)>) -> ShellOutcome {
        let Some((scope, outcome)) = after else { return Leaves };
        self.scope = scope;
        outcome
    }

    pub(crate) fn choice(&mut self, subject: &ShellWord, arms: &[ShellArm]) -> ShellOutcome {
        let value = self.text(subject);
        let mut open: Vec<String> = value.texts().cloned().collect();
        let before = self.snapshot();
        let mut after: Option<(ShellScope, ShellOutcome)> = None;

        for arm in arms {
            let patterns: Vec<_> = arm.patterns.iter().flat_map(|pattern| self.patterns(pattern)).collect();
            let judge = |text: &String| {
                let found: Vec<PatternMatch> = patterns.iter().map(|pattern| compare(pattern, text)).collect();
                let best = [PatternMatch::Yes, PatternMatch::Maybe];
                best.into_iter().find(|wanted| found.contains(wanted)).unwrap_or(PatternMatch::No)
            };
            if open.iter().all(|text| judge(text) == PatternMatch::No) {
                continue;
            }

            self.scope = before.clone();
            self.snapshot_costs();
            if self.is_spent() {
                return self.give_up_rest();
            }
            let outcome = self.list(&arm.body);
            after = self.merged(after, outcome);
            open.retain(|text| judge(text) != PatternMatch::Yes);
            if open.is_empty() {
                break;
            }
        }

        // no arm may match
        if !open.is_empty() {
            self.scope = before;
            after = self.merged(after, True);
        }
        self.resume(after)
    }

    /// Adds the way that was just walked to those before it.
    fn merged(
        &mut self,
        after: Option<(ShellScope, ShellOutcome)>,
        outcome: ShellOutcome,
    ) -> Option<(ShellScope, ShellOutcome)> {
        match after {
            known if outcome == Leaves => known,
            None => Some((self.scope.clone(), outcome)),
            Some((mut scope, known)) => {
                scope.join(&self.scope);
                Some((scope, if known == outcome { known } else { Either }))
            }
        }
    }

    pub(crate) fn iteration(&mut self, name: &str, words: Option<&[ShellWord]>, body: &ShellList) -> ShellOutcome {
        let ways = match words {
            Some(words) => self.arguments(words),
            None => match self.scope.arguments.clone() {
                Some(all) => vec![all.iter().map(|v| v.only().map_or(UNKNOWN.to_string(), str::to_owned)).collect()],
                None => vec![vec![UNKNOWN.to_string()]],
            },
        };
        let is_exact = ways.len() == 1 && ways[0].len() <= MOST_ROUNDS && ways[0].iter().all(|word| is_known(word));
        if !is_exact {
            // any number of rounds, with any of the words; a word that stands for names is one of them
            let words: BTreeSet<String> = ways.into_iter().flatten().collect();
            for word in words {
                let value = ScriptValue::known(word);
                self.rounds(&mut |walk| {
                    commands::assign(walk, name, value.clone());
                    walk.list(body)
                });
            }
            return Either;
        }

        let mut outcome = True;
        for word in &ways[0] {
            commands::assign(self, name, ScriptValue::known(word));
            outcome = self.round(&mut |walk| walk.list(body));
            if outcome == Leaves {
                return Leaves;
            }
        }
        outcome
    }

    /// Walks one round of a loop, which `break` and `continue` may leave.
    fn round(&mut self, body: &mut dyn FnMut(&mut Self) -> ShellOutcome) -> ShellOutcome {
        self.loops.push(None);
        let outcome = body(self);
        match (self.loops.pop().flatten(), outcome) {
            (None, outcome) => outcome,
            (Some(left), Leaves) => {
                self.scope = left;
                Either
            }
            (Some(left), _) => {
                self.scope.join(&left);
                Either
            }
        }
    }

    /// Walks any number of rounds of a loop: until nothing new turns up.
    fn rounds(&mut self, body: &mut dyn FnMut(&mut Self) -> ShellOutcome) {
        // what still changes in the third round would change in the hundredth
        for number in 0..8 {
            let before = self.snapshot();
            if self.round(body) == Leaves {
                self.scope = before;
                return;
            }
            let after = std::mem::replace(&mut self.scope, before.clone());
            self.scope.join(&after);
            if self.scope.is_same(&before) {
                return;
            }
            if number >= 2 {
                self.scope.widen(&before);
            }
        }
        self.give_up("a loop that does not settle");
    }

    pub(crate) fn repetition(&mut self, until: bool, condition: &ShellList, body: &ShellList) -> ShellOutcome {
        for _ in 0..MOST_ROUNDS {
            let before = self.snapshot();
            let outcome = match (self.condition(|walk| walk.list(condition)), until) {
                (True, true) => False,
                (False, true) => True,
                (outcome, _) => outcome,
            };
            match outcome {
                Leaves => return Leaves,
                False => return True,
                Either => break,
                True => match self.round(&mut |walk| walk.list(body)) {
                    Leaves => return Leaves,
                    // only `break` ends a loop in which nothing changes
                    _ if self.scope.is_same(&before) => return Either,
                    _ => (),
                },
            }
        }
        self.rounds(&mut |walk| match walk.list(body) {
            Leaves => Leaves,
            _ => walk.condition(|walk| walk.list(condition)),
        });
        Either
    }
}
