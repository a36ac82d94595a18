/**
 * The physical limit: Node's HTTP/2 with TLS, answering each request with the same kilobyte and doing nothing else.
 */
import { createSecureServer } from "node:http2";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";

const [certificateFile = "", keyFile = ""] = process.argv.slice(2);
const body = Buffer.alloc(1024, "x");
const server = createSecureServer({ cert: readFileSync(certificateFile), key: readFileSync(keyFile) });
server.on("stream", (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/json", "cache-control": "no-cache, private" });
  stream.end(body);
  stream.resume();
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit(0));
