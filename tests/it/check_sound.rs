//! What looks like a fault of an image and is none.

use crate::support::elf::Elf;
use crate::support::plant::Plant;
use crate::support::plant::done;
use sockel::tree::EntryKind;
use sockel::tree::FileContent;

/// A title, and what is planted that is no fault.
type SoundCase = (&'static str, fn(&mut Plant));

#[test]
fn sound_images_are_left_alone() {
    let table: [SoundCase; 20] = [
        ("PATH", |p| done(p.start(&["app"]))),
        ("a link to the program", |p| done(p.link("usr/bin/x", "app").start(&["/usr/bin/x"]))),
        ("relative to the working directory", |p| {
            p.start(&["usr/bin/app"]);
        }),
        ("a run path", |p| {
            p.elf("opt/l/liba.so", &Elf::library("liba.so"));
            p.elf("opt/b/a", &Elf { run_path: Some("$ORIGIN/../l"), ..Elf::program(&["liba.so"]) });
        }),
        ("LD_LIBRARY_PATH", |p| {
            p.elf("opt/l/liba.so", &Elf::library("liba.so"))
                .elf("opt/b/a", &Elf::program(&["liba.so"]))
                .env("LD_LIBRARY_PATH", "/opt/l");
        }),
        ("ld.so.conf with cache", |p| {
            p.text("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
                .text("etc/ld.so.conf.d/v.conf", "/opt/l/\n")
                .text("etc/ld.so.cache", "x");
            p.elf("opt/l/liba.so", &Elf::library("liba.so")).elf("opt/b/a", &Elf::program(&["liba.so"]));
        }),
        ("a plugin finds libraries of its package", |p| {
            p.elf("opt/server/libjvm.so", &Elf::library("libjvm.so"));
            p.elf("opt/libjava.so", &Elf { needed: vec!["libjvm.so"], ..Elf::library("libjava.so") });
        }),
        ("a static program", |p| done(p.elf("usr/bin/s", &Elf::default()))),
        ("a damaged ELF file", |p| done(p.file("usr/lib/x", b"\x7fELF\x02\x01\x01", 0o644))),
        ("a script that nobody may execute", |p| done(p.file("usr/share/x", b"#!/bin/none\n", 0o644))),
        ("links to what exists at run time", |p| {
            done(p.link("etc/mtab", "../proc/mounts").link("var/run", "/run").link("etc/x", "/var/lib/app/x"));
        }),
        ("the root", |p| done(p.link("usr/x", "../.."))),
        ("modules of Java", |p| done(p.java(&["--add-modules", "ALL-SYSTEM,java.xml", "-m", "java.base/x"]))),
        ("a module of a path", |p| done(p.java(&["-p", "/opt", "-m", "our.shop"]).folder("opt", 0o755))),
        ("C.UTF-8 and a part of another locale", |p| {
            p.text("usr/lib/locale/de_DE.utf8/LC_TIME", "x").env("LANG", "C.UTF-8").env("LC_TIME", "de_DE.UTF-8");
        }),
        ("locales in one file", |p| done(p.text("usr/lib/locale/locale-archive", "x").env("LANG", "de_DE.UTF-8"))),
        ("a file with a secret", |p| done(p.env("DB_PASSWORD_FILE", "/run/secrets/db"))),
        ("an empty secret", |p| done(p.env("TOKEN", ""))),
        ("a public key", |p| done(p.text("etc/k.pem", "-----BEGIN PUBLIC KEY-----\n"))),
        ("hard links", |p| {
            let content = FileContent::inline(vec![1; 70_000]);
            p.put("opt/a", EntryKind::File(content.clone()), 0o644);
            p.put("opt/b", EntryKind::Hardlink { target: "opt/a".to_owned(), content }, 0o644);
        }),
    ];
    for (what, plant) in table {
        let mut image = Plant::good();
        plant(&mut image);
        assert_eq!(image.check().findings, Vec::new(), "{what}");
    }
}
