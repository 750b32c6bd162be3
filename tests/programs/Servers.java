import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.concurrent.Executors;

/**
 * usage: java Servers MODEL PORT
 * Each reads a line and answers it: "get" with 3 MB, anything else with a sentence; then it closes, whatever the client
 * still sends. Java gives a descriptor up by close, or, where another thread is blocked in it, by dup2 of a marker over it.
 */
public class Servers {
    static final byte[] FILE = new byte[3_000_000];

    static byte[] answer(String line) {
        return line.equals("get\n") ? FILE : ("no such thing: " + line).getBytes();
    }

    static String line(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int c; (c = in.read()) >= 0;) {
            line.write(c);
            if (c == '\n')
                break;
        }
        return line.toString();
    }

    interface Handler {
        void handle(Socket s) throws Exception;
    }

    /** A thread per connection. */
    static void threads(int port, Handler handler) throws IOException {
        ServerSocket listener = new ServerSocket(port, 50, InetAddress.getLoopbackAddress());
        for (;;) {
            Socket s = listener.accept();
            new Thread(() -> {
                try {
                    handler.handle(s);
                } catch (Exception e) {
                    System.err.println(e);
                }
            }).start();
        }
    }

    static void socket(Socket s) throws IOException {
        try (s) {
            s.getOutputStream().write(answer(line(s.getInputStream())));
        }
    }

    /** Another thread is blocked in read when this one closes; what it reads afterwards it must not get. */
    static void reader(Socket s) throws Exception {
        String line = line(s.getInputStream());
        Thread reader = new Thread(() -> {
            try {
                while (s.getInputStream().read() >= 0)
                    ;
            } catch (IOException e) {
                System.out.println(e.getMessage()); // "Socket closed"
            }
        });
        reader.start();
        while (reader.getState() != Thread.State.RUNNABLE)
            Thread.sleep(1);
        s.getOutputStream().write(answer(line));
        s.close();
        reader.join();
    }

    /** A process for each request, which inherits the other connections: a JVM's sockets are not close-on-exec. */
    static void process(Socket s) throws Exception {
        try (s) {
            String line = line(s.getInputStream());
            Process echo = new ProcessBuilder("echo", line).start();
            echo.getInputStream().readAllBytes();
            echo.waitFor();
            s.getOutputStream().write(answer(line));
        }
    }

    static void channel(int port) throws IOException {
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        for (;;) {
            SocketChannel c = listener.accept();
            new Thread(() -> {
                try (c) {
                    ByteBuffer reply = ByteBuffer.wrap(answer(line(c.socket().getInputStream())));
                    while (reply.hasRemaining())
                        c.write(reply);
                } catch (IOException e) {
                    System.err.println(e);
                }
            }).start();
        }
    }

    static class State {
        final ByteBuffer line = ByteBuffer.allocate(1);
        final StringBuilder text = new StringBuilder();
        ByteBuffer reply;
    }

    /** One thread, a selector, channels that do not block. */
    static void selector(int port) throws IOException {
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        listener.configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        for (;;) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys())
                try {
                    ready(selector, listener, key);
                } catch (IOException e) {
                    System.err.println(e);
                    key.channel().close();
                }
            selector.selectedKeys().clear();
        }
    }

    static void ready(Selector selector, ServerSocketChannel listener, SelectionKey key) throws IOException {
        if (key.isAcceptable()) {
            SocketChannel c = listener.accept();
            c.configureBlocking(false);
            c.register(selector, SelectionKey.OP_READ, new State());
            return;
        }
        SocketChannel c = (SocketChannel) key.channel();
        State state = (State) key.attachment();
        while (state.reply == null && c.read(state.line) > 0) {
            state.text.append((char) state.line.get(0));
            state.line.clear();
            if (state.text.charAt(state.text.length() - 1) == '\n')
                state.reply = ByteBuffer.wrap(answer(state.text.toString()));
        }
        if (state.reply == null)
            return;
        key.interestOps(SelectionKey.OP_WRITE);
        while (state.reply.hasRemaining() && c.write(state.reply) > 0)
            ;
        if (!state.reply.hasRemaining())
            c.close();
    }

    /** The JDK's own HTTP server. */
    static void http(int port) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/file", exchange -> {
            exchange.sendResponseHeaders(200, FILE.length);
            exchange.getResponseBody().write(FILE);
            exchange.close();
        });
        server.start();
    }

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[1]);
        switch (args[0]) {
            case "socket" -> threads(port, Servers::socket);
            case "reader" -> threads(port, Servers::reader);
            case "process" -> threads(port, Servers::process);
            case "channel" -> channel(port);
            case "selector" -> selector(port);
            case "http" -> http(port);
            default -> System.exit(2);
        }
    }
}
