package io.sockel.tomcat;

import java.io.CharArrayWriter;
import org.apache.catalina.valves.JsonAccessLogValve;

/** Writes the access log to standard output, one JSON object a line. */
public final class ConsoleJsonAccessLog extends JsonAccessLogValve {
    /** Opens nothing: there is no file. */
    @Override
    protected void open() {}

    @Override
    public void log(CharArrayWriter message) {
        System.out.println(message);
    }
}
