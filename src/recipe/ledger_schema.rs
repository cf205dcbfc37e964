//! The keys of the script ledger, `recipes/scripts.yaml`.

use crate::recipe::scalar::ScalarKind as S;
use crate::recipe::schema::FieldSchema;
use crate::recipe::schema::REASON;
use crate::recipe::schema::RecordSchema;
use crate::recipe::schema::ValueShape::List;
use crate::recipe::schema::ValueShape::One;
use crate::recipe::schema::ValueShape::Records;
use crate::recipe::schema::optional;
use crate::recipe::schema::required;

/// Maintainer scripts and other control files that dpkg acts on (deb-preinst(5), deb-triggers(5), debconf's `config`).
const SCRIPTS: &[&str] = &["preinst", "postinst", "prerm", "postrm", "config", "triggers"];

/// Generators and recipe keys that can reproduce the effect of a maintainer script.
const REPRODUCERS: &[&str] = &[
    "accounts",
    "certificates",
    "links",
    "copy",
    "divert",
    "directories",
    "files",
    "localtime",
    "nsswitch",
    "locale",
    "os-release",
    "filesystem",
    "ld-so-cache",
    "package-database",
];

/// The file `recipes/scripts.yaml`.
pub(crate) static LEDGER: RecordSchema = RecordSchema {
    what: "the script ledger",
    fields: &[
        required("format", One(S::Word("format", &["1", "2"])), "Version of this format; 1 had only `scripts`."),
        optional("general", Records(&GENERAL_RULE), "Decisions about effects that hold for every package."),
        optional("packages", Records(&PACKAGE_RULE), "Decisions about effects of named packages; they count first."),
        optional(
            "scripts",
            Records(&SCRIPT),
            "Decisions about whole scripts, by digest; they count before all others.",
        ),
    ],
};

/// About a pattern of effects.
const EFFECTS: &str = "Effects as sockel prints them; `*` stands for any text without slash and blank, `**` for any text, `***` for any text with unknown parts, `<?>` for one of them.";

/// About `by`.
const BY: &str = "What reproduces the effect; only with `reproduced`.";

/// What every entry of the ledger says.
const DECISION: FieldSchema =
    required("decision", One(S::Word("decision", &["not-needed", "reproduced"])), "The decision.");
const REPRODUCED_BY: FieldSchema = optional("by", One(S::Word("generator or recipe key", REPRODUCERS)), BY);
const BECAUSE: FieldSchema = required("reason", REASON, "Reason for the decision.");

static GENERAL_RULE: RecordSchema = RecordSchema {
    what: "a general rule",
    fields: &[required("effects", List(S::Reason), EFFECTS), DECISION, REPRODUCED_BY, BECAUSE],
};

static PACKAGE_RULE: RecordSchema = RecordSchema {
    what: "a rule about packages",
    fields: &[
        required("packages", List(S::Reason), "Binary packages; `*` stands for any text."),
        required("effects", List(S::Reason), EFFECTS),
        DECISION,
        REPRODUCED_BY,
        BECAUSE,
    ],
};

static SCRIPT: RecordSchema = RecordSchema {
    what: "a ledger entry",
    fields: &[
        required("package", One(S::Package), "Binary package."),
        required("script", One(S::Word("maintainer script", SCRIPTS)), "Name of the script."),
        DECISION,
        REPRODUCED_BY,
        BECAUSE,
        required("sha256", List(S::Sha256), "Digests of all known forms of the script."),
    ],
};
