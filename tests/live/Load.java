/** Loads shared libraries, which fails if one that they need is missing. */
public class Load {
    public static void main(String[] names) {
        for (String name : names) {
            System.load(name);
        }
        System.out.println("loaded");
    }
}
