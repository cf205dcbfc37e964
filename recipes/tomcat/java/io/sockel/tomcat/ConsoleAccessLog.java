package io.sockel.tomcat;

import java.io.CharArrayWriter;
import org.apache.catalina.valves.AbstractAccessLogValve;

/**
 * Writes the access log to standard output, whatever it is: Tomcat's AccessLogValve opens files, and `/dev/stdout` of
 * another user cannot be opened.
 */
public final class ConsoleAccessLog extends AbstractAccessLogValve {
    @Override
    protected void log(CharArrayWriter message) {
        System.out.println(message);
    }
}
