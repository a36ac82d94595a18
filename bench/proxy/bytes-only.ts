/**
 * The physical limit of a proxy on Node's sockets: bytes are passed on unread, on one upstream connection for each client's. No HTTP, no routes, no pool.
 */
import { type AddressInfo, connect, createServer } from "node:net";

const [backendPort = "", host = "127.0.0.1"] = process.argv.slice(2);
const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ port: Number(backendPort), host, noDelay: true });
  client.on("data", (bytes) => upstream.write(bytes));
  upstream.on("data", (bytes) => client.write(bytes));
  client.on("close", () => upstream.destroy());
  upstream.on("close", () => client.destroy());
  client.on("error", () => {});
  upstream.on("error", () => {});
});
server.listen(0, "127.0.0.1", 1024, () => process.send?.({ port: (server.address() as AddressInfo).port, tlsPort: 0 }));
process.on("disconnect", () => process.exit(0));
