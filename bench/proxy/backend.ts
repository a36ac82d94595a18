/**
 * The upstream: answers each request with a kilobyte and does nothing else. Prints its port.
 */
import { type AddressInfo, createServer } from "node:net";

const body = "x".repeat(1024);
const response = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
);

const server = createServer({ noDelay: true }, (socket) => {
  let matched = 0;
  socket.on("data", (bytes) => {
    // Requests have no bodies here: each empty line ends one.
    for (let at = bytes.indexOf("\r\n\r\n"); at >= 0; at = bytes.indexOf("\r\n\r\n", at + 4)) matched++;
    for (; matched > 0; matched--) socket.write(response);
  });
  socket.on("error", () => socket.destroy());
});
server.listen(0, "127.0.0.1", 1024, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit(0));
