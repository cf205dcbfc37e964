package io.sockel.tomcat;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import org.apache.juli.logging.Log;
import org.apache.juli.logging.LogFactory;

/**
 * Adds certificate authorities in PEM files to those that Java trusts.
 *
 * <p>Java reads no PEM as a trust store, so a PKCS #12 file with both is written into the folder for temporary files.
 */
final class TrustedCertificates {
    /** Names a PEM file, or a folder with *.pem and *.crt files. */
    static final String VARIABLE = "EXTRA_CERTIFICATES";

    private static final Log LOG = LogFactory.getLog(TrustedCertificates.class);

    /** JSSE's own property; what somebody has set there is left alone. */
    private static final String TRUST_STORE = "javax.net.ssl.trustStore";

    /** A trust store holds nothing secret; without a password, PKCS #12 has no integrity check either. */
    private static final String PASSWORD = "changeit";

    private TrustedCertificates() {}

    /** Trusts the certificates of a file or folder from now on; a name that is empty or absent adds none. */
    static void useThoseOf(String name) {
        if (name == null || name.isEmpty()) {
            return;
        }
        if (System.getProperty(TRUST_STORE) != null) {
            throw new IllegalStateException(
                    "cannot use both " + VARIABLE + " and -D" + TRUST_STORE + ": each names what Java trusts");
        }

        try {
            KeyStore store = KeyStore.getInstance(
                    new File(System.getProperty("java.home"), "lib/security/cacerts"), (char[]) null);
            int count = 0;
            for (File file : pemFiles(new File(name))) {
                count += add(store, file);
            }
            if (count == 0) {
                throw new IOException("there is no certificate in it");
            }

            use(store);
            LOG.info("trusting " + count + " more certificates, of " + name);
        } catch (IOException | GeneralSecurityException cause) {
            // a service that trusts less than it was told would fail later, and far from here
            throw new IllegalStateException(
                    "cannot trust the certificates of " + VARIABLE + "=" + name + ": " + cause.getMessage(), cause);
        }
    }

    private static File[] pemFiles(File named) {
        File[] files = named.listFiles();
        if (files == null) {
            return new File[] {named};
        }

        // sorted, because the names of entries follow from the order
        Arrays.sort(files);
        int kept = 0;
        for (File file : files) {
            if (file.isFile() && (file.getName().endsWith(".pem") || file.getName().endsWith(".crt"))) {
                files[kept++] = file;
            }
        }
        return Arrays.copyOf(files, kept);
    }

    private static int add(KeyStore store, File file) throws IOException, GeneralSecurityException {
        int count = 0;
        try (InputStream in = new FileInputStream(file)) {
            for (Certificate certificate : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                store.setCertificateEntry("extra-" + file.getName() + "-" + count, certificate);
                count++;
            }
        }
        return count;
    }

    private static void use(KeyStore store) throws IOException, GeneralSecurityException {
        File written = File.createTempFile("trust-store-", ".p12");
        try (OutputStream out = new FileOutputStream(written)) {
            store.store(out, PASSWORD.toCharArray());
        }
        System.setProperty(TRUST_STORE, written.getPath());
        System.setProperty(TRUST_STORE + "Type", "PKCS12");
        System.setProperty(TRUST_STORE + "Password", PASSWORD);
    }
}
