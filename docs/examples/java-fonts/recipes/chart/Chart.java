import com.sun.net.httpserver.HttpServer;
import java.awt.Color;
import java.awt.Font;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.net.InetSocketAddress;
import javax.imageio.ImageIO;

/** Answers every request with a picture: its path as text, in the font that is named after the question mark. */
public class Chart {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        var server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/", exchange -> {
            var address = exchange.getRequestURI();
            byte[] picture = draw(address.getPath().substring(1), address.getQuery());
            exchange.getResponseHeaders().set("Content-Type", "image/png");
            exchange.sendResponseHeaders(200, picture.length);
            try (var body = exchange.getResponseBody()) {
                body.write(picture);
            }
        });
        server.start();
        System.out.println("listening on port " + port);
    }

    private static byte[] draw(String text, String family) throws java.io.IOException {
        var picture = new BufferedImage(400, 60, BufferedImage.TYPE_INT_RGB);
        var graphics = picture.createGraphics();
        graphics.setColor(Color.WHITE);
        graphics.fillRect(0, 0, 400, 60);
        graphics.setColor(Color.BLACK);
        graphics.setFont(new Font(family == null ? Font.SANS_SERIF : family, Font.PLAIN, 32));
        graphics.drawString(text, 10, 42);
        graphics.dispose();

        var bytes = new ByteArrayOutputStream();
        ImageIO.write(picture, "png", bytes);
        return bytes.toByteArray();
    }
}
