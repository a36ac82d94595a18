/**
 * Knative Services in tests: a manifest in few words, and requests to their hosts.
 */
import { type Agent, request } from "node:http";
import { connect } from "node:net";

/** What answered. */
export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** True when the answer was cut short. */
  readonly isBroken: boolean;
};

export type AskOptions = {
  readonly host: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly agent?: Agent;
  readonly timeoutMs?: number;
};

/** Asks the cluster's data plane at `address`. Rejects when there is no answer. */
export function ask(address: string, options: AskOptions): Promise<Answer> {
  const { host, path = "/", method = "GET", headers = {}, body, agent, timeoutMs = 30_000 } = options;
  return new Promise((resolve, reject) => {
    const asked = request({
      host: address,
      port: 80,
      path,
      method,
      headers: { host, ...headers },
      agent: agent ?? false,
      timeout: timeoutMs,
    });
    // A connection that breaks is the request's error too, before it is the response's.
    let onBroken: (error: Error) => void = reject;
    asked.on("response", (response) => {
      let text = "";
      onBroken = () => end(true);
      const end = (isBroken: boolean) =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, isBroken });
      response.on("data", (piece: Buffer) => (text += String(piece)));
      response.on("end", () => end(false)).on("error", () => end(true));
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    asked.on("error", (error) => onBroken(error)).end(body);
  });
}

/** What a Service of node programs may want otherwise than usual. */
export type NodeServiceOptions = {
  /** More of its container. */
  readonly container?: object;
  /** More of its revision. */
  readonly spec?: object;
  /** Under autoscaling.knative.dev. */
  readonly scaling?: Readonly<Record<string, string>>;
};

/** A Knative Service that runs `program` of ConfigMap `programs` with the image tests/node. */
export function nodeService(name: string, program: string, options: NodeServiceOptions = {}): object {
  const { container = {}, spec = {}, scaling = {} } = options;
  const { volumes = [], ...rest } = spec as { readonly volumes?: readonly object[] };
  const { volumeMounts = [], ...more } = container as { readonly volumeMounts?: readonly object[] };
  const annotations = Object.fromEntries(
    Object.entries(scaling).map(([key, value]) => [`autoscaling.knative.dev/${key}`, value]),
  );
  const main = {
    image: "tests/node:24",
    command: ["node", `/code/${program}`],
    resources: { requests: { cpu: "5m", memory: "30Mi" } },
    volumeMounts: [{ name: "code", mountPath: "/code" }, ...volumeMounts],
    ...more,
  };
  const code = { name: "code", configMap: { name: "programs" } };
  return {
    apiVersion: "serving.knative.dev/v1",
    kind: "Service",
    metadata: { name },
    spec: {
      template: { metadata: { annotations }, spec: { containers: [main], volumes: [code, ...volumes], ...rest } },
    },
  };
}

/** Sends a request's body a byte at a time until it is told something, or nobody listens any more. Gives the first line that came back. */
export function trickle(address: string, host: string): Promise<{ readonly status: string }> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: 80 });
    let said = "";
    const timer = setInterval(() => socket.write("x"), 200);
    const end = () => {
      clearInterval(timer);
      socket.destroy();
      resolve({ status: said.split("\r\n")[0] ?? "" });
    };
    socket.write(`POST /body HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1000\r\n\r\n`);
    socket.on("data", (piece: Buffer) => {
      said += String(piece);
      if (said.includes("\r\n")) end();
    });
    socket.on("close", end).on("error", end);
  });
}
