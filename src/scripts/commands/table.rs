//! The commands that are known: name, what they do at a first installation, and the source of that.
//!
//! A command that is not in the table is not understood, and neither are programs of packages: their arguments tell
//! nothing about what they do. Section numbers of the policy are those of the Debian Policy Manual 4.7.

use crate::scripts::commands::CommandCall;
use crate::scripts::commands::accounts;
use crate::scripts::commands::builtins;
use crate::scripts::commands::caches;
use crate::scripts::commands::debconf;
use crate::scripts::commands::files;
use crate::scripts::commands::libraries;
use crate::scripts::commands::packages;
use crate::scripts::commands::services;
use crate::scripts::commands::wrappers;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;

/// Reads the arguments of a command and notes its effects.
pub(crate) type CommandReader = fn(&mut ScriptWalk, &CommandCall<'_>) -> ShellOutcome;

/// A command that is known.
pub(crate) struct KnownCommand {
    pub(crate) names: &'static [&'static str],
    pub(crate) read: CommandReader,
    /// What it does, for people.
    #[expect(dead_code, reason = "documentation beside the data that it describes")]
    pub(crate) effect: &'static str,
    /// Manual page or section of the policy.
    #[expect(dead_code, reason = "documentation beside the data that it describes")]
    pub(crate) source: &'static str,
}

/// Returns what is known about a command.
pub(crate) fn find(name: &str) -> Option<&'static KnownCommand> {
    COMMANDS.iter().find(|known| known.names.contains(&name))
}

const fn row(
    names: &'static [&'static str],
    read: CommandReader,
    effect: &'static str,
    source: &'static str,
) -> KnownCommand {
    KnownCommand { names, read, effect, source }
}

/// All known commands.
#[rustfmt::skip]
static COMMANDS: &[KnownCommand] = &[
    // --- the shell itself
    row(&["true", ":"], builtins::succeeds, "none", "POSIX.1-2024, true"),
    row(&["false"], builtins::fails, "none", "POSIX.1-2024, false"),
    row(&["echo", "printf"], builtins::prints, "none but by redirection", "dash(1)"),
    row(&["test", "["], builtins::tests, "none", "test(1)"),
    row(&["[["], builtins::tests_patterns, "none", "bash(1)"),
    row(&["exit"], builtins::exits, "ends the script", "dash(1)"),
    row(&["return"], builtins::returns, "ends the function", "dash(1)"),
    row(&["break", "continue"], builtins::leaves_loop, "ends a round of a loop", "dash(1)"),
    row(&["set"], builtins::sets, "arguments", "dash(1)"),
    row(&["shift"], builtins::shifts, "arguments", "dash(1)"),
    row(&["export", "readonly", "declare", "typeset"], builtins::exports, "variables", "dash(1)"),
    row(&["local"], builtins::locals, "variables", "dash(1)"),
    row(&["unset"], builtins::unsets, "variables", "dash(1)"),
    row(&["read"], builtins::reads, "variables", "dash(1)"),
    row(&["getopts"], builtins::options, "variables", "dash(1)"),
    row(&["cd", "chdir"], builtins::changes_folder, "the working folder", "dash(1)"),
    row(&["pushd", "popd"], builtins::loses_folder, "the working folder", "bash(1)"),
    row(&["umask", "hash", "ulimit", "times", "wait", "jobs", "type", "kill", "let"], builtins::nothing, "none", "dash(1)"),
    row(&["eval"], wrappers::eval, "what its text says", "dash(1)"),
    row(&["."], wrappers::source, "what the file says", "dash(1)"),
    row(&["source"], wrappers::source, "what the file says", "bash(1)"),
    row(&["trap"], wrappers::trap, "what its text says, perhaps", "dash(1)"),
    row(&["exec"], wrappers::exec, "the command, and the script ends", "dash(1)"),
    row(&["command", "builtin"], wrappers::command, "the command", "dash(1)"),
    row(&["sh", "dash", "bash"], wrappers::shell, "what its text says", "dash(1)"),

    // --- commands that run another
    row(&["env"], wrappers::environment, "the command", "env(1)"),
    row(&["nice", "ionice", "nohup", "setsid", "stdbuf", "timeout", "chronic", "time"], wrappers::prefix, "the command", "nice(1), ionice(1), nohup(1), setsid(1), stdbuf(1), timeout(1)"),
    row(&["xargs"], wrappers::xargs, "the command, with arguments that it reads", "xargs(1)"),
    row(&["find"], wrappers::find, "none, or removals and commands", "find(1)"),

    // --- programs that only read and print
    row(&["grep", "egrep", "fgrep", "zgrep", "cat", "zcat", "getent", "dirname", "basename", "which", "md5sum", "sha1sum", "sha256sum", "readlink", "realpath",
          "cut", "tr", "ls", "tail", "head", "expr", "id", "uname", "stat", "cmp", "diff", "wc", "date", "sleep", "seq", "uniq",
          "comm", "paste", "fold", "rev", "tac", "nl", "od", "hexdump", "logname", "whoami", "groups", "pwd", "tty", "stty", "nproc", "arch",
          "file", "getcap", "getconf", "locale", "cksum", "sum", "base64", "column", "join", "printenv", "df", "du", "sync", "yes", "factor", "numfmt", "mountpoint", "findmnt"],
        builtins::nothing, "none; the answer decides branches", "coreutils, grep, libc-bin and util-linux, each in its manual page"),
    row(&["pidof", "pgrep", "ps", "ss", "netstat", "lsof", "fuser", "lsmod", "dmesg", "lspci", "ip", "runlevel"], builtins::nothing, "none", "ps(1), ss(8) and others"),
    row(&["hostname", "dnsdomainname", "domainname"], services::hostname, "none without an argument", "hostname(1)"),
    row(&["ischroot", "aa-enabled", "aa-status", "selinuxenabled", "systemd-detect-virt", "phpquery", "py3versions", "pyversions", "lsb_release", "tput", "infocmp", "clear", "gettext", "gettext.sh", "eval_gettext"], builtins::nothing, "none", "ischroot(1), aa-enabled(1), selinuxenabled(8), phpquery(1), py3versions(1)"),
    row(&["dpkg-query", "dpkg-architecture", "dpkg-vendor", "dpkg-realpath", "apt-config", "debconf-show", "ucfq", "modinfo", "named-checkconf"], builtins::nothing, "none", "dpkg-query(1), dpkg-architecture(1), dpkg-realpath(1), apt-config(8)"),
    row(&["awk", "mawk", "gawk"], files::awk, "none, unless its program writes or runs something", "awk(1p)"),
    row(&["sed"], files::sed, "none, or changes files with -i", "sed(1)"),
    row(&["sort"], files::sort, "none, or a file with -o", "sort(1)"),

    // --- files and folders
    row(&["mkdir"], files::mkdir, "folder", "mkdir(1)"),
    row(&["mktemp", "tempfile"], files::mktemp, "temporary file or folder", "mktemp(1)"),
    row(&["install"], files::install, "folder or copy, with owner and mode", "install(1)"),
    row(&["cp"], files::copy, "copy", "cp(1)"),
    row(&["mv"], files::rename, "copy, and the removal of the source", "mv(1)"),
    row(&["ln"], files::link, "link", "ln(1)"),
    row(&["rm", "rmdir", "unlink"], files::remove, "removal", "rm(1), rmdir(1)"),
    row(&["touch", "truncate", "mkfifo", "mknod"], files::touch, "file", "touch(1), truncate(1), mkfifo(1), mknod(1)"),
    row(&["tee"], files::tee, "file", "tee(1)"),
    row(&["dd"], files::dd, "file", "dd(1)"),
    row(&["chmod"], files::chmod, "mode", "chmod(1)"),
    row(&["chown"], files::chown, "owner", "chown(1)"),
    row(&["chgrp"], files::chgrp, "owner", "chgrp(1)"),
    row(&["setcap"], files::setcap, "capability", "setcap(8)"),
    row(&["setfacl", "chattr"], files::attributes, "mode", "setfacl(1), chattr(1)"),
    row(&["restorecon", "chcon"], builtins::nothing, "none without SELinux", "restorecon(8), chcon(1)"),

    // --- accounts
    row(&["adduser"], accounts::adduser, "account, its group and home; or a member of a group", "adduser(8), policy 9.2.2"),
    row(&["addgroup"], accounts::addgroup, "group", "adduser(8), policy 9.2.2"),
    row(&["useradd"], accounts::useradd, "account", "useradd(8)"),
    row(&["groupadd"], accounts::groupadd, "group", "groupadd(8)"),
    row(&["usermod", "chsh", "chfn", "chage", "passwd"], accounts::changes, "account", "usermod(8), chsh(1), chfn(1), chage(1), passwd(1)"),
    row(&["groupmod", "gpasswd"], accounts::changes_group, "group", "groupmod(8), gpasswd(1)"),
    row(&["userdel", "deluser"], accounts::removes, "account", "userdel(8), deluser(8)"),
    row(&["groupdel", "delgroup"], accounts::removes_group, "group", "groupdel(8), deluser(8)"),
    row(&["systemd-sysusers"], accounts::sysusers, "accounts and groups of sysusers.d", "sysusers.d(5), dh_installsysusers(1)"),
    row(&["update-passwd"], accounts::update_passwd, "accounts of base-passwd", "update-passwd(8)"),
    row(&["shadowconfig", "pwconv", "grpconv"], accounts::shadow, "shadow files", "shadowconfig(8), pwconv(8)"),

    // --- packages
    row(&["dpkg"], packages::dpkg, "none for questions; comparisons are decided", "dpkg(1)"),
    row(&["dpkg-maintscript-helper"], packages::maintscript, "none without an old version", "dpkg-maintscript-helper(1)"),
    row(&["update-alternatives"], packages::alternatives, "alternative", "update-alternatives(1)"),
    row(&["dpkg-divert"], packages::divert, "diversion", "dpkg-divert(1)"),
    row(&["dpkg-statoverride"], packages::statoverride, "statoverride; with --update owner and mode", "dpkg-statoverride(1)"),
    row(&["dpkg-trigger"], packages::trigger, "trigger", "dpkg-trigger(1), deb-triggers(5)"),
    row(&["ucf"], packages::ucf, "copy, and ucf's own state", "ucf(1)"),
    row(&["ucfr"], packages::ucfr, "ucf's own state", "ucfr(1)"),

    // --- questions
    row(&["db_get", "db_set", "db_input", "db_go", "db_fget", "db_fset", "db_metaget", "db_subst", "db_title", "db_settitle", "db_version",
          "db_stop", "db_capb", "db_beginblock", "db_endblock", "db_purge", "db_register", "db_unregister", "db_reset", "db_clear", "db_info",
          "db_progress", "db_text", "db_data", "db_x_loadtemplatefile", "db_previous_module"],
        debconf::question, "answers, which steer the rest", "debconf-devel(7)"),
    row(&["debconf-escape"], builtins::nothing, "none", "debconf-escape(1)"),

    row(&["error", "warning", "setup_colors"], builtins::nothing, "messages", "dpkg's dpkg-error.sh"),

    // --- services: no init runs while an image is made
    row(&["systemctl", "deb-systemd-invoke", "invoke-rc.d", "service", "rc-service", "rc-update", "initctl", "telinit", "init", "reload", "restart", "runit-helper", "update-service", "pkill", "killall"],
        services::service, "none without an init", "systemctl(1), deb-systemd-invoke(1p), invoke-rc.d(8), policy 9.3.3"),
    row(&["deb-systemd-helper"], services::helper, "links below /etc/systemd, state below /var/lib/systemd", "deb-systemd-helper(1p), dh_installsystemd(1)"),
    row(&["update-rc.d"], services::runlevels, "links in /etc/rc?.d", "update-rc.d(8), policy 9.3"),
    row(&["apparmor_parser", "udevadm", "modprobe", "sysctl", "depmod", "update-binfmts", "busctl", "dbus-send", "loginctl", "setupcon", "loadkeys", "blkid", "swapon", "swapoff", "mount", "umount", "losetup"],
        services::service, "none in a container: they speak to the kernel or to services", "apparmor_parser(8), udevadm(8), modprobe(8), sysctl(8), update-binfmts(8)"),
    row(&["start-stop-daemon"], services::daemon, "starts or ends a process", "start-stop-daemon(8)"),
    row(&["systemd-tmpfiles"], services::tmpfiles, "folders, links and modes of tmpfiles.d", "tmpfiles.d(5)"),
    row(&["systemd-machine-id-setup"], services::machine_id, "/etc/machine-id, random", "systemd-machine-id-setup(1)"),

    // --- caches and generated files
    row(&["ldconfig"], caches::ldconfig, "/etc/ld.so.cache", "ldconfig(8), policy 8.1.1"),
    row(&["py3compile", "pycompile", "pypy3compile", "pypycompile", "py3clean", "pyclean"], caches::python, "__pycache__ beside modules", "py3compile(1), pypy3compile(1)"),
    row(&["fc-cache", "update-menus", "update-initramfs", "update-icon-caches", "gtk-update-icon-cache", "gtk4-update-icon-cache", "gtk-update-icon-cache-3.0", "update-mime", "update-desktop-database",
          "update-mime-database", "glib-compile-schemas", "gio-querymodules", "systemd-hwdb", "update-gsfontmap", "update-fonts-dir", "update-fonts-scale", "update-fonts-alias", "mkfontscale", "mkfontdir",
          "mandb", "install-info", "update-info-dir", "install-docs", "catchsegv", "iconvconfig", "update-dictcommon-aspell", "update-default-aspell", "update-dictcommon-hunspell", "appstreamcli", "update-grub", "texhash", "mktexlsr", "journalctl", "gconftool-2", "update-pciids", "update-ieee-data"],
        caches::cache, "an index that can be made again", "each in its manual page; dh_installmenu(1), dh_icons(1)"),
    row(&["update-ca-certificates", "update-xmlcatalog", "update-catalog", "locale-gen", "pam-auth-update", "debconf-set-selections"],
        caches::generated, "files made from what is installed", "update-ca-certificates(8), update-xmlcatalog(8), update-catalog(8), locale-gen(8), pam-auth-update(8)"),
    row(&["update-shells", "add-shell", "remove-shell"], caches::shells, "/etc/shells, /var/lib/shells.state", "update-shells(8), add-shell(8)"),
    row(&["update-locale"], caches::locale, "the file of the locale", "update-locale(8)"),

    // --- helpers of other packages for scripts
    row(&["php_invoke"], libraries::php, "links in /etc/php/*/*/conf.d, records in /var/lib/php", "/usr/lib/php/php-maintscript-helper, phpenmod(8)"),
    row(&["apache2_invoke"], libraries::apache, "links in /etc/apache2/*-enabled, records in /var/lib/apache2", "/usr/share/apache2/apache2-maintscript-helper, a2enmod(8)"),
    row(&["apache2_switch_mpm"], libraries::apache_mpm, "links in /etc/apache2/mods-enabled", "the same"),
    row(&["apache2_reload", "apache2_msg", "apache2_needs_action", "apache2_has_module", "php_msg"], services::service, "none without an init", "the same"),
    row(&["postconf"], libraries::postconf, "none, or Postfix's settings", "postconf(1)"),
    row(&["addmap", "delmap", "newaliases", "runnewaliases", "update-inetd", "augenrules"], libraries::known_file, "one file", "/usr/share/postfix/postinst.functions, newaliases(1), update-inetd(8), augenrules(8)"),
    row(&["postmap", "postalias"], libraries::postmap, "an index beside a file", "postmap(1), postalias(1)"),
    row(&["lighty-enable-mod"], libraries::lighttpd, "links in /etc/lighttpd/conf-enabled", "lighty-enable-mod(1)"),
    row(&["/usr/share/locales/install-language-pack"], libraries::language_pack, "locales", "package locales of Ubuntu"),
    row(&["ssh-keygen", "dropbearkey", "dropbearconvert", "rndc-confgen"], libraries::keys, "files with keys", "ssh-keygen(1), dropbearkey(1), dropbearconvert(1), rndc-confgen(8)"),
    row(&["openssl"], libraries::openssl, "a file of random bytes", "openssl-rand(1)"),
    row(&["perl"], libraries::perl, "none, if the program is empty", "perlrun(1)"),

    // --- other machines
    row(&["wget", "curl", "ftp", "nc", "netcat", "telnet", "ssh", "scp", "sftp", "rsync", "git", "svn", "apt-get", "apt", "aptitude", "pip", "pip3", "npm", "gem", "snap", "host", "dig", "nslookup", "ping"],
        caches::network, "a connection to another machine", "each in its manual page"),
];
