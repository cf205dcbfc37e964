import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.GraphicsEnvironment;
import java.awt.color.ColorSpace;
import java.awt.color.ICC_ColorSpace;
import java.awt.color.ICC_Profile;
import java.awt.image.BufferedImage;
import java.awt.image.ColorConvertOp;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import javax.imageio.ImageIO;

/** Draws text, writes and reads a JPEG, converts colours: what needs libraries that images have with `fonts` only. */
public class Draw {
    public static void main(String[] arguments) throws Exception {
        BufferedImage picture = new BufferedImage(200, 50, BufferedImage.TYPE_INT_RGB);
        Graphics2D pen = picture.createGraphics();
        pen.setFont(new Font("SansSerif", Font.PLAIN, 30));
        pen.drawString("Sockel \u00e4\u00f6\u00fc", 10, 40);

        int lit = 0;
        for (int x = 0; x < picture.getWidth(); x++) {
            for (int y = 0; y < picture.getHeight(); y++) {
                lit += (picture.getRGB(x, y) & 0xffffff) != 0 ? 1 : 0;
            }
        }

        ByteArrayOutputStream jpeg = new ByteArrayOutputStream();
        boolean written = ImageIO.write(picture, "jpg", jpeg);
        int width = ImageIO.read(new ByteArrayInputStream(jpeg.toByteArray())).getWidth();

        new ColorConvertOp(ColorSpace.getInstance(ColorSpace.CS_GRAY), null).filter(picture, null);
        ColorSpace profile = new ICC_ColorSpace(ICC_Profile.getInstance(ColorSpace.CS_PYCC));
        float light = profile.toCIEXYZ(new float[] {0.5f, 0.5f, 0.5f})[1];

        // Java has five logical fonts; DejaVu brings more
        int families = GraphicsEnvironment.getLocalGraphicsEnvironment().getAvailableFontFamilyNames().length;
        System.out.println(lit > 500 && written && width == 200 && light > 0 && families > 5 ? "drawn" : "wrong");
    }
}
