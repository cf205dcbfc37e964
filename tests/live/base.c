/* Ten situations that users of small base images met, tried by a program that runs in the image. */
#define _GNU_SOURCE
#include <errno.h>
#include <iconv.h>
#include <langinfo.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int failed;

static void check(const char *name, int holds) {
    printf("%s %s\n", holds ? "ok" : "FAILED", name);
    failed += !holds;
}

static int resolves(const char *name, const char *service, const char *expected) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found;
    char address[64];
    if (getaddrinfo(name, service, &hints, &found) != 0) {
        return 0;
    }
    int code = getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return code == 0 && strcmp(address, expected) == 0;
}

static int writes(const char *folder) {
    char path[256];
    snprintf(path, sizeof path, "%s/probeXXXXXX", folder);
    int file = mkstemp(path);
    return file >= 0 && write(file, "x", 1) == 1 && close(file) == 0 && unlink(path) == 0;
}

static int hour_in(const char *zone) {
    time_t noon = 1782907200; /* 1 July 2026, 12:00 UTC */
    struct tm local;
    setenv("TZ", zone, 1);
    tzset();
    return localtime_r(&noon, &local)->tm_hour;
}

static int converts(const char *from, const char *text, const char *expected) {
    char out[16] = "", *source = (char *)text, *target = out;
    size_t left = strlen(text), room = sizeof out - 1;
    iconv_t converter = iconv_open("UTF-8", from);
    return converter != (iconv_t)-1 && iconv(converter, &source, &left, &target, &room) != (size_t)-1 && strcmp(out, expected) == 0;
}

static int is_refused(const char *path) {
    FILE *file = fopen(path, "a");
    if (file) {
        fclose(file);
    }
    return !file && (errno == EACCES || errno == EROFS);
}

int main(void) {
    const char *home = getenv("HOME"), *bundle = getenv("SSL_CERT_FILE");
    struct passwd *user = getpwuid(getuid());
    struct stat about;

    check("/etc/hosts counts before DNS", resolves("neighbour.test", NULL, "198.51.100.7"));
    check("localhost has an address", resolves("localhost", NULL, "127.0.0.1"));
    check("numeric services resolve", resolves("127.0.0.1", "8443", "127.0.0.1"));
    check("certificates are there and readable", bundle && access(bundle, R_OK) == 0 && stat(bundle, &about) == 0 && about.st_size > 100000);
    check("hashed links of certificates are there", access("/etc/ssl/certs/002c0b4f.0", R_OK) == 0 || access("/etc/ssl/certs/4042bcee.0", R_OK) == 0);
    check("the locale is UTF-8", setlocale(LC_ALL, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
    check("time zones by TZ", hour_in("Europe/Berlin") == 14 && hour_in("Asia/Kolkata") == 17 && hour_in("") == 12);
    check("HOME is writable", home && strcmp(home, "/home/app") == 0 && writes(home));
    check("temporary files", writes("/tmp"));
    check("the user is known, or has a number", (user && strcmp(user->pw_name, "app") == 0) || getuid() != 10001);
    check("old character sets", converts("ISO-8859-15", "\xa4", "\xe2\x82\xac") && converts("CP1252", "\x80", "\xe2\x82\xac"));
    check("the user changes neither libraries nor accounts", is_refused("/etc/passwd") && is_refused("/usr/share/zoneinfo/UTC"));
    return failed ? 3 : 0;
}
