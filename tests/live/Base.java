import java.io.File;
import java.net.InetAddress;
import java.nio.charset.Charset;
import java.security.KeyStore;
import java.text.NumberFormat;
import java.time.Instant;
import java.time.ZoneId;
import java.util.Locale;
import java.util.TimeZone;
import java.util.prefs.Preferences;
import javax.net.ssl.SSLContext;

/** Ten situations that users of small Java images met. */
public class Base {
    private static int failed;

    private static void check(String name, boolean holds) {
        System.out.println((holds ? "ok " : "FAILED ") + name);
        failed += holds ? 0 : 1;
    }

    public static void main(String[] arguments) throws Exception {
        KeyStore trusted = KeyStore.getInstance(new File(System.getProperty("java.home"), "lib/security/cacerts"), (char[]) null);
        Instant noon = Instant.parse("2026-07-01T12:00:00Z");
        File file = File.createTempFile("probe", null);
        Preferences settings = Preferences.userRoot().node("probe");
        settings.put("key", "value");
        settings.flush();

        check("/etc/hosts counts before DNS", InetAddress.getByName("neighbour.test").getHostAddress().equals("198.51.100.7"));
        check("the own host name is no error", InetAddress.getLocalHost() != null);
        check("certificate authorities are trusted", trusted.size() > 100 && SSLContext.getDefault().getProtocol() != null);
        check("texts are UTF-8", Charset.defaultCharset().name().equals("UTF-8") && System.getProperty("native.encoding").equals("UTF-8"));
        check("file names are UTF-8", new File("/tmp/\u00e4\u20ac").createNewFile() && new File("/tmp/\u00e4\u20ac").exists());
        check("TZ counts", TimeZone.getDefault().getID().equals("Europe/Berlin") && noon.atZone(ZoneId.systemDefault()).getHour() == 14);
        check("other languages' formats", NumberFormat.getInstance(Locale.GERMANY).format(1234.5).equals("1.234,5"));
        check("user.home is writable", System.getProperty("user.home").equals("/home/app") && new File("/home/app").canWrite());
        check("temporary files", file.getParent().equals("/tmp") && file.delete());
        check("preferences are kept", settings.get("key", "").equals("value"));
        check("elliptic curves", java.security.KeyPairGenerator.getInstance("EC").generateKeyPair() != null);
        check("all processors and memory are seen", Runtime.getRuntime().availableProcessors() > 0 && Runtime.getRuntime().maxMemory() > 1 << 24);
        System.exit(failed > 0 ? 3 : 0);
    }
}
