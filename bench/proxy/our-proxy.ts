/**
 * The engine as the product would run it, in a process of its own: a listener without TLS and one with it, a route per host, access log and metrics as asked for. `node our-proxy.ts BACKEND-PORT CERT KEY [log]`.
 */
import { openSync, readFileSync } from "node:fs";
import { systemClock } from "#component-base/clock.ts";
import type { Resource } from "#proxy/config/route-source.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import { JsonAccessLog } from "#proxy/observe/access-log.ts";

const [backendPort = "", certificateFile = "", keyFile = "", logs] = process.argv.slice(2);
const accessLog = new JsonAccessLog(openSync("/dev/null", "w"), systemClock);
const engine = new ProxyEngine({ clock: systemClock, ...(logs === "log" ? { accessLog } : {}) });
const address = { host: "127.0.0.1", port: 0 };
const hosts = Array.from({ length: 20 }, (_, index) => `host-${index}.example`);
const resources: readonly Resource[] = [
  { kind: "cluster", config: { name: "backend", endpoints: [{ address: "127.0.0.1", port: Number(backendPort) }] } },
  {
    kind: "certificate",
    config: {
      name: "own",
      certificate: readFileSync(certificateFile, "utf8"),
      privateKey: readFileSync(keyFile, "utf8"),
    },
  },
  ...["127.0.0.1", ...hosts].map(
    (host): Resource => ({
      kind: "route",
      config: {
        name: host,
        listeners: ["plain", "tls"],
        hosts: [host],
        rules: [
          {
            matches: [{ path: { kind: "prefix", value: "/" } }],
            action: { kind: "forward", backends: [{ cluster: "backend" }] },
          },
        ],
      },
    }),
  ),
  { kind: "listener", config: { name: "plain", address } },
  { kind: "listener", config: { name: "tls", address, tls: { certificates: ["own"] } } },
];
const problems = await engine.apply(resources.map((resource) => ({ set: resource })));
if (problems.length > 0) throw new Error(JSON.stringify(problems));
process.send?.({ port: engine.portOf("plain"), tlsPort: engine.portOf("tls") });
process.on("disconnect", () => process.exit(0));
