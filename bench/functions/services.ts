/**
 * The Knative Services of the bench of functions: the same answer from an isolate and from a container, at zero from the beginning.
 */
import type { Service } from "#serving/kinds.ts";

export type Kind = "isolate" | "container";

export const isolateCode: string = `export default { async fetch(request) {
  const ms = Number(new URL(request.url).searchParams.get("ms") ?? 0);
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  return new Response("hello\\n");
} };`;
export const containerCode: string = `import { createServer } from "node:http";
process.on("SIGTERM", () => process.exit(0));
createServer((request, response) => response.end("hello\\n")).listen(process.env.PORT);`;

/** A Service of this kind, with these annotations under autoscaling.knative.dev. */
export function serviceOf(name: string, kind: Kind, annotations: Readonly<Record<string, string>>): Service {
  const scaling = { "initial-scale": "0", window: "6s", ...annotations };
  const volume = { name: "code", configMap: { name: `${kind}-code` } };
  const container =
    kind === "isolate"
      ? { image: "nodeless.dev/isolate", volumeMounts: [{ name: "code", mountPath: "/bundle" }] }
      : {
          image: "tests/node:24",
          command: ["node", "/code/server.mjs"],
          volumeMounts: [{ name: "code", mountPath: "/code" }],
        };
  const resources = { requests: { cpu: "1m", memory: "1Mi" } };
  const template = {
    metadata: {
      annotations: Object.fromEntries(
        Object.entries(scaling).map(([key, value]) => [`autoscaling.knative.dev/${key}`, value]),
      ),
    },
    spec: {
      ...(kind === "isolate" ? { runtimeClassName: "isolate" } : {}),
      containers: [{ ports: [{ containerPort: 8080 }], resources, ...container }],
      volumes: [volume],
    },
  };
  const object = { apiVersion: "serving.knative.dev/v1", kind: "Service", metadata: { name }, spec: { template } };
  return object as unknown as Service;
}
