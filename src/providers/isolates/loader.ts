/**
 * What runs in a cage before its pod is known: workerd with one worker of ours, which loads the pod's modules when the agent posts them to the control socket, and hands
 * every request at the pod's port to them. The pod's code runs in an isolate of its own and cannot see this one.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** Names of the two sockets, which workerd inherits as descriptors 3 and 4. */
export const sockets = { pod: "pod", control: "control" } as const;

/** A module as workerd's loader takes it. */
export type ModuleContent =
  | { readonly js: string }
  | { readonly cjs: string }
  | { readonly text: string }
  | { readonly json: unknown }
  /** Base64. */
  | { readonly data: string }
  | { readonly wasm: string };

/** What is posted to the control socket. */
export type IsolateCode = {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly mainModule: string;
  readonly modules: Readonly<Record<string, ModuleContent>>;
  readonly env: Readonly<Record<string, string>>;
};

const entry = "nodeless-entry.js";

/**
 * The loader. The code is kept because workerd may ask for it again. What is posted is wrapped: the wrapper's `check` makes workerd load everything now, so that a fault is
 * known before the pod is called ready. The stub is made anew for each request, as workerd binds it to one.
 */
const loaderSource = `
  let code;
  const isolate = (env) => env.LOADER.get("pod", () => code);
  export default {
    fetch: (request, env) => isolate(env).getEntrypoint().fetch(request),
  };
  export const control = {
    async fetch(request, env) {
      const { mainModule, modules, ...rest } = await request.json();
      if (!modules) return new Response("waiting");
      const bytes = (text) => Uint8Array.fromBase64(text).buffer;
      for (const module of Object.values(modules)) {
        if ("data" in module) module.data = bytes(module.data);
        if ("wasm" in module) module.wasm = bytes(module.wasm);
      }
      modules["${entry}"] = { js: \`
        import * as main from \${JSON.stringify("./" + mainModule)};
        import { WorkerEntrypoint } from "cloudflare:workers";
        export default main.default ?? { fetch() {} };
        export class NodelessCheck extends WorkerEntrypoint {
          check() {
            const handler = main.default;
            return typeof handler?.fetch === "function" || typeof handler?.prototype?.fetch === "function";
          }
        }\` };
      code = { ...rest, mainModule: "${entry}", modules };
      try {
        if (await isolate(env).getEntrypoint("NodelessCheck").check()) return new Response("ok");
        throw new TypeError(mainModule + " has no default export with a fetch handler");
      } catch (error) {
        console.error(error.stack ?? String(error));
        return new Response(String(error), { status: 422 });
      }
    },
  };
`;

/** What pods may reach: other pods, Services, the internet and their own loopback, as from a container. No Unix sockets. */
const reachable = ["public", "private", "local"];

/** Writes workerd's configuration in its binary form into a folder; gives its path. */
export async function compileConfiguration(options: {
  readonly workerd: string;
  readonly compatibilityDate: string;
  readonly folder: string;
}): Promise<string> {
  const text = join(options.folder, "loader.capnp");
  const binary = join(options.folder, "loader.bin");
  await writeFile(text, configurationText(options));
  const { stdout } = await promisify(execFile)(options.workerd, ["compile", "--config-only", text], {
    encoding: "buffer",
  });
  await writeFile(binary, stdout, { mode: 0o644 });
  return binary;
}

function configurationText(options: { readonly compatibilityDate: string }): string {
  const socket = (name: string, entrypoint: string) =>
    `(name = "${name}", address = "127.0.0.1:0", http = (), service = (name = "loader"${entrypoint}))`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "loader", worker = (
      modules = [(name = "loader.js", esModule = ${JSON.stringify(loaderSource)})],
      compatibilityDate = "${options.compatibilityDate}",
      bindings = [(name = "LOADER", workerLoader = ())],
    )),
    (name = "internet", network = (
      allow = ${JSON.stringify(reachable)},
      tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [${socket(sockets.pod, "")}, ${socket(sockets.control, ', entrypoint = "control"')}],
);
`;
}
